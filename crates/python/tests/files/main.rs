//! Files both ways, and modules of this side, against a real interpreter.

mod copies;
mod failures;
mod modules;
mod own;

use std::fs;
use std::path::Path;

use thither_python::{Output, Progress, Python, Start};

/// The interpreter to test with.
fn python() -> Python {
    let program = std::env::var("THITHER_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut start = Start::default();
    start.output = Output::Null;
    start.local(&program).expect("an interpreter")
}

/// Through the interpreter alone, and by another way where there is one.
const WAYS: [fn() -> Python; 2] = [python, own::python];

/// What is in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Bytes that are no repetition of their beginning.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Nobody looks how far it is.
fn silent(_: Progress) {}
