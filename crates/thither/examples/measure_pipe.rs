//! Measures how bytes go to a process and back: `measure_pipe ADDRESS` does a round for each line of its input, and answers with a
//! line of JSON, `{"values": [NANOSECONDS...]}`. `cargo xtask bench smb-trip` and so on run it beside a pipe without our wire.
//! - `trip N`: 16 bytes to `cat` and back, N times; how long each took.
//! - `down BYTES`: so many bytes from `head -c BYTES /dev/zero`.
//! - `echo BYTES`: so many bytes to `cat` and back, both ways at once.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::thread;
use std::time::Instant;

use thither::{Command, Place, Process, Stream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a small message has, in bytes.
const SMALL: usize = 16;
/// What is read and written at once, in bytes.
const CHUNK: usize = 64 << 10;

fn main() -> Result<()> {
    let address = std::env::args().nth(1).ok_or("which place?")?;
    let place = thither::connect(&address)?;
    let mut out = io::stdout().lock();
    writeln!(out, r#"{{"version": "thither {}"}}"#, env!("CARGO_PKG_VERSION"))?;
    for line in io::stdin().lock().lines() {
        match round(place.as_ref(), &line?) {
            Ok(values) => writeln!(out, r#"{{"values": {values:?}}}"#)?,
            Err(error) => writeln!(out, r#"{{"error": {:?}}}"#, error.to_string())?,
        }
    }
    Ok(())
}

fn round(place: &dyn Place, line: &str) -> Result<Vec<u64>> {
    let (name, number) = line.split_once(' ').ok_or("which round, and how many?")?;
    let count: usize = number.parse()?;
    match name {
        "trip" => trips(place.spawn(&piped(Command::new("cat")))?, count),
        "down" => {
            let head = Command::new("head").args(["-c", number, "/dev/zero"]);
            let mut head = place.spawn(&piped(head).stdin(Stream::Null))?;
            // As with `echo`: the connection and the start are another matter.
            let start = Instant::now();
            let read = read(head.stdout.take(), count);
            let took = nanoseconds(start);
            head.wait()?;
            read.map(|()| vec![took])
        }
        "echo" => echo(place.spawn(&piped(Command::new("cat")))?, count),
        other => Err(format!("no such round: {other}").into()),
    }
}

fn piped(command: Command) -> Command {
    command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Null)
}

fn trips(mut cat: Process, count: usize) -> Result<Vec<u64>> {
    let mut stdin = File::from(cat.stdin.take().ok_or("no input")?);
    let mut stdout = File::from(cat.stdout.take().ok_or("no output")?);
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        stdin.write_all(&[7; SMALL])?;
        stdout.read_exact(&mut [0; SMALL])?;
        took.push(nanoseconds(start));
    }
    drop(stdin);
    cat.wait()?;
    Ok(took)
}

fn echo(mut cat: Process, bytes: usize) -> Result<Vec<u64>> {
    let mut stdin = File::from(cat.stdin.take().ok_or("no input")?);
    let start = Instant::now();
    let writer = thread::spawn(move || {
        let data = vec![7; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let n = left.min(CHUNK);
            stdin.write_all(&data[..n])?;
            left -= n;
        }
        Ok::<_, io::Error>(())
    });
    read(cat.stdout.take(), bytes)?;
    let took = nanoseconds(start);
    writer.join().map_err(|_| "the writer panicked")??;
    cat.wait()?;
    Ok(vec![took])
}

fn read(stdout: Option<impl Into<File>>, bytes: usize) -> Result<()> {
    let mut stdout: File = stdout.ok_or("no output")?.into();
    let mut data = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let n = stdout.read(&mut data)?;
        left = left.checked_sub(n).filter(|_| n > 0).ok_or("too many bytes, or too few")?;
    }
    Ok(())
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
