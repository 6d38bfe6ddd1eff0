//! Measures a place from a program that stays open: `measure_place ADDRESS` does a round for each line of its input (`true`
//! or `python`), and answers with a line of JSON, `{"values": [NANOSECONDS]}`. `cargo xtask bench ssh-connect` and so on run
//! it beside its peers.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use thither::python::Python;
use thither::{Command, Place, PlaceExt, Stream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let address = std::env::args().nth(1).ok_or("which place?")?;
    let place = thither::connect(&address)?;
    let mut out = io::stdout().lock();
    writeln!(out, r#"{{"version": "thither {}"}}"#, env!("CARGO_PKG_VERSION"))?;
    for line in io::stdin().lock().lines() {
        let start = Instant::now();
        let done = round(place.as_ref(), &line?);
        let nanoseconds = start.elapsed().as_nanos();
        match done {
            Ok(_) => writeln!(out, r#"{{"values": [{nanoseconds}]}}"#)?,
            Err(error) => writeln!(out, r#"{{"error": {:?}}}"#, chain(&*error))?,
        }
    }
    Ok(())
}

/// An error and its causes, in a line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What it leaves behind is let go of when its time is taken.
fn round(place: &dyn Place, name: &str) -> Result<Option<Python>> {
    match name {
        "true" => {
            let mut command = Command::new("true").stdin(Stream::Null);
            command = command.stdout(Stream::Null).stderr(Stream::Null);
            let exit = place.spawn(&command)?.wait()?;
            exit.success().then_some(None).ok_or_else(|| format!("true: {exit:?}").into())
        }
        // To the first reply.
        "python" => {
            let python = place.python()?;
            let two: u32 = python.eval("1 + 1", ())?;
            (two == 2).then_some(Some(python)).ok_or_else(|| "1 + 1 is not 2".into())
        }
        other => Err(format!("no such round: {other}").into()),
    }
}
