//! Against real interpreters. Most tests run with one, and one test runs all of the surface with every version that is found.

mod calls;
mod callbacks;
mod cancels;
mod ends;
mod faults;
mod first;
mod hostile;
mod iteration;
mod matrix;
mod names;
mod objects;
mod output;
mod overlap;
mod pending;
mod starts;
mod stress;
mod values;

use std::path::PathBuf;
use std::sync::OnceLock;

use thither_python::{Error, Output, PyErr, Python, Start};

/// The interpreter to test with: the one that `THITHER_TEST_PYTHON` names, else `python3`, without a shim around it.
fn program() -> &'static str {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| match std::env::var_os("THITHER_TEST_PYTHON") {
        Some(program) => program.into(),
        None => matrix::identify("python3".as_ref()).expect("python3 in PATH").path,
    });
    found.to_str().expect("a path of text")
}

/// One whose output is not wanted.
fn python() -> Python {
    quiet().local(program()).expect("an interpreter")
}

/// How it is started.
fn quiet() -> Start {
    let mut start = Start::default();
    start.output = Output::Null;
    start
}

/// The exception that it must be.
#[track_caller]
fn raised<T: std::fmt::Debug>(result: Result<T, Error>) -> PyErr {
    match result {
        Err(Error::Python(error)) => *error,
        other => panic!("no exception: {other:?}"),
    }
}

/// The connection is as good as new.
#[track_caller]
fn assert_alive(py: &Python) {
    assert_eq!(py.eval::<i64>("6 * 7", ()).expect("an answer"), 42);
}
