//! Many places at once: `cargo run -p thither --example python_many docker:web docker:db`. Without a place it is this
//! machine, twice.

use std::error::Error;
use std::io::{self, Write};
use std::thread;

use thither::PlaceExt;
use thither::python::{Pending, Python};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Code that takes a moment. What it defines lasts as long as the interpreter.
const COUNT: &str = "\
def primes(start, stop):
    return sum(all(n % d for d in range(2, int(n ** 0.5) + 1)) for n in range(max(start, 2), stop))
";

/// Counts the primes below 20 000, a part at each place; says how many there are.
pub(crate) fn show(places: &[&str], out: &mut dyn Write) -> Result<()> {
    const BELOW: usize = 20_000;
    let mut ready = Vec::new();
    for (place, started) in places.iter().zip(connected(places)) {
        match started {
            Ok(py) => ready.push(py),
            // A place that cannot be reached does not stop the others.
            Err(error) => writeln!(out, "{place}: {error}")?,
        }
    }
    let part = BELOW.div_ceil(ready.len().max(1));

    // All are on their way before the first is waited for: one thread is enough.
    let mut pending: Vec<Pending<usize>> = Vec::new();
    for (index, py) in ready.iter().enumerate() {
        let (start, stop) = (index * part, BELOW.min((index + 1) * part));
        pending.push(py.get("primes")?.start1((start, stop))?);
    }
    let mut total = 0;
    for call in pending {
        total += call.wait()?;
    }
    writeln!(out, "{total} primes, counted at {} of {} places", ready.len(), places.len())?;
    Ok(())
}

/// Interpreters at all of the places, started at the same time.
fn connected(places: &[&str]) -> Vec<Result<Python>> {
    thread::scope(|scope| {
        let threads: Vec<_> = places.iter().map(|place| scope.spawn(|| connect(place))).collect();
        let started = threads.into_iter().map(|thread| thread.join().map_err(|_| "a panic")?);
        started.collect()
    })
}

fn connect(place: &str) -> Result<Python> {
    let py = thither::connect(place)?.python()?;
    py.exec(COUNT, ())?;
    Ok(py)
}

fn main() -> Result<()> {
    let places: Vec<String> = std::env::args().skip(1).collect();
    let mut places: Vec<&str> = places.iter().map(String::as_str).collect();
    if places.is_empty() {
        places = vec!["local:"; 2];
    }
    show(&places, &mut io::stdout())
}
