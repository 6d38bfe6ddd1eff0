//! Copies a file to an interpreter and back, and says how fast: `cargo run --release -p thither-python --example copy FILE`.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use thither_python::{Progress, Python};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("which file?")?;
    let folder = tempfile::tempdir()?;
    let [there, back] = ["there", "back"].map(|name| folder.path().join(name));
    let py = Python::local("python3")?;
    let mut shown = |Progress { done, total, .. }: Progress| {
        let total = total.map_or(String::from("?"), |total| total.to_string());
        // What cannot be shown is no reason to stop.
        let _ = write!(std::io::stderr(), "\r{done} of {total} bytes");
    };
    let start = Instant::now();
    py.putfile(&file, &there, &mut shown)?;
    writeln!(std::io::stdout(), "\nput in {:?}", start.elapsed())?;
    let start = Instant::now();
    py.getfile(&there, &back, &mut shown)?;
    writeln!(std::io::stdout(), "\ngot in {:?}", start.elapsed())?;
    Ok(())
}
