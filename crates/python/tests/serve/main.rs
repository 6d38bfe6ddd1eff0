//! Ways that begin over there, and interpreters that serve themselves, against real ones.

mod onward;
mod served;
mod sockets;
mod tunnels;

use std::sync::{Arc, Mutex};

use thither_python::{Output, Python, Start};

/// The program to test with.
fn program() -> String {
    std::env::var("THITHER_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

fn quiet() -> Start {
    let mut start = Start::default();
    start.output = Output::Null;
    start
}

/// The interpreter to test with.
fn python() -> Python {
    quiet().local(&program()).expect("an interpreter")
}

/// What is printed over there.
type Heard = Arc<Mutex<Vec<u8>>>;

fn heard() -> (Start, Heard) {
    let heard = Heard::default();
    let ours = Arc::clone(&heard);
    let mut start = Start::default();
    start.output = Output::Function(Box::new(move |_, bytes| ours.lock().unwrap().extend(bytes)));
    (start, heard)
}

/// Whether a process exists and is no zombie.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
