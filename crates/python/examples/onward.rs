//! A chain of interpreters, a connection and modules from its end: `cargo run -p thither-python --example onward`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use thither_python::{Python, Start};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let first = Python::local("python3")?;
    let second = first.onward("python3", Start::default())?;
    let parent: u32 = second.get("os.getppid")?.call0()?;
    writeln!(out, "{} was started by {parent}", second.info().pid)?;

    // A module of this side.
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("greeting.py"),
        "def greet(name):\n    return 'Hello, ' + name\n",
    )?;
    second.add_modules(folder.path())?;
    let text: String = second.get("greeting.greet")?.call1(("you",))?;
    writeln!(out, "{text}")?;

    // A program as a stream.
    let (mut reader, mut writer) = second.tunnel(&["tr", "a-z", "A-Z"])?;
    writer.write_all(b"louder\n")?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    write!(out, "{text}")?;

    // A connection from over there.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = second.connect_tcp("127.0.0.1", listener.local_addr()?.port())?;
    stream.write_all(b"through two interpreters\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    listener.accept()?.0.read_to_string(&mut text)?;
    write!(out, "{text}")?;
    Ok(())
}
