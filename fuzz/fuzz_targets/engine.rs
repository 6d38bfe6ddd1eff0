//! An engine that answers bytes of any kind: no panic, no wait without end, no answer without bound.
//!
//! The bytes are cut at 0xff: each piece is all that one connection says. The last byte chooses what is asked for.
#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use thither_docker::{Container, Dial, Engine};
use thither_place::{Command, Place, Stream};

/// What fits into a socket that nobody reads yet, in bytes.
const MOST: usize = 32 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let answers: Vec<Vec<u8>> = bytes.split(|&byte| byte == 0xff).map(<[u8]>::to_vec).collect();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    // Other ends stay open for reading, or what we send would be an error before anything is read.
    let peers = Arc::new(Mutex::new(Vec::new()));
    let (next, kept) = (answers.clone(), peers.clone());
    let open = move || {
        let (ours, mut theirs) = UnixStream::pair()?;
        let answer = next.lock().ok().and_then(|mut answers| answers.next()).unwrap_or_default();
        theirs.write_all(&answer[..answer.len().min(MOST)])?;
        theirs.shutdown(std::net::Shutdown::Write)?;
        if let Ok(mut kept) = kept.lock() {
            kept.push(theirs);
        }
        Ok(ours.into())
    };
    let engine = Engine::new("fuzz", Dial::Stream(Arc::new(open)));
    let engine = engine.limit(Duration::from_millis(200));
    match bytes.last().map(|byte| byte % 4) {
        Some(0) => drop(engine.containers(None)),
        Some(1) => {
            let container = Container::new(engine, "x");
            if let Ok(mut archive) = container.get("/x".as_ref()) {
                while let Ok(Some(_)) = archive.next_entry() {}
            }
        }
        Some(2) => {
            let attach = thither_docker::Attach::default();
            let attach = attach.streams(Stream::Null, Stream::Null, Stream::Null);
            if let Ok(mut process) = Container::new(engine, "x").attach(&attach) {
                let _ = process.wait();
            }
        }
        _ => {
            let command = Command::new("x").stdin(Stream::Null).stdout(Stream::Null);
            let command = command.stderr(Stream::Null);
            if let Ok(mut process) = Container::new(engine, "x").spawn(&command) {
                let _ = process.wait();
            }
        }
    }
});
