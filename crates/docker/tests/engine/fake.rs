//! An engine that says what a real one never does, or what none does that can be had here.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;
use thither_docker::{Container, Dial, Engine};

/// A socket that answers each request, by its first line, with these bytes. It closes the connection after all but a whole
/// answer with a length, and a [`PROMISE`].
pub(crate) struct Fake {
    folder: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

/// The head of an answer whose body never comes.
pub(crate) const PROMISE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// An answer with a body.
pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What `GET /_ping` is answered.
pub(crate) fn ping(version: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nApi-Version: {version}\r\nContent-Length: 2\r\n\r\nOK").into_bytes()
}

impl Fake {
    pub(crate) fn new(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Fake {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("sock")).expect("a socket");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &seen, answer.as_ref()));
            }
        });
        Fake { folder, requests }
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new("unix:///fake", Dial::Unix(self.folder.path().join("sock")))
    }

    pub(crate) fn container(&self) -> Container {
        Container::new(self.engine(), "web")
    }

    /// The requests so far: the first line, and the body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: UnixStream, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if length(head).is_some_and(|length| body.len() < length) {
            continue;
        }
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
        seen.lock().expect("no panic").push(format!("{line} {body}").trim_end().to_owned());
        let answer = answer(line);
        // Whoever has heard enough hangs up.
        if stream.write_all(&answer).is_err() || !(is_whole(&answer) || answer == PROMISE) {
            return;
        }
        bytes.clear();
    }
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().ok()
}

/// Whether an answer ends by itself, so that another one can follow.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let parts = text.split_once("\r\n\r\n");
    parts.is_some_and(|(head, body)| {
        length(head) == Some(body.len()) && !head.to_ascii_lowercase().contains("connection: close")
    })
}
