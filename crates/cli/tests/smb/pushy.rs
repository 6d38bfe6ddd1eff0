//! Python by pushy's own service: raw arguments, then the standard input and output of what they start.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use testkit::{Pipe, Smbd};

use crate::harness::{Folders, says};
use crate::library;

/// What pushy's service does with a client: `u8 argc, (u32be length, bytes)*`, then the program has the pipe, but for its standard
/// error, which nobody gets.
fn serve(mut stream: UnixStream) {
    let mut count = [0];
    if stream.read_exact(&mut count).is_err() {
        return;
    }
    let words: Vec<String> = (0..count[0]).map(|_| word(&mut stream)).collect();
    let stdin = OwnedFd::from(stream.try_clone().unwrap());
    let stdout = OwnedFd::from(stream.try_clone().unwrap());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(stdin).stdout(stdout).stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        drop(command);
        let _ = child.wait();
    }
    // smbd would lose what it has not handed on yet: until the client is gone.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn word(stream: &mut UnixStream) -> String {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut word = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut word).unwrap();
    String::from_utf8(word).unwrap()
}

fn each(pipe: Pipe) {
    thread::spawn(move || {
        while let Ok(stream) = pipe.accept() {
            thread::spawn(move || serve(stream));
        }
    });
}

/// A server with pushy's service, and the address of that.
fn host() -> Result<(Smbd, Folders, String), String> {
    let smbd = Smbd::start()?;
    each(smbd.pipe("pushy"));
    let folders = Folders::new();
    let file = folders.path("here").join("password");
    std::fs::write(&file, smbd.password()).unwrap();
    let place = format!(
        "smb:{}@127.0.0.1:{}?compat=pushy&password-file={}",
        smbd.user(),
        smbd.port(),
        file.display()
    );
    Ok((smbd, folders, place))
}

#[test]
fn python_by_the_library() {
    match host() {
        Ok((_smbd, _folders, place)) => library::check(&place, None),
        Err(reason) => testkit::skip!("{reason}"),
    }
}

#[test]
fn python_by_the_tool() {
    let (_smbd, folders, place) = match host() {
        Ok(host) => host,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let (out, err, code) = says(&mut folders.here(["python", &place, "-c", "print(6 * 7)"]));
    assert_eq!(out, "42\n", "{err}");
    // It cannot tell how a command ended, and says so.
    assert_eq!(code, 125);
    assert!(err.contains("cannot tell how the command ended"), "{err}");
}
