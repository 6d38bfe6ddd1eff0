//! Measures this crate: `measure PYTHON` does a round for each line of its input ("getpid 300"), and answers with a line
//! of JSON, as xtask/src/bench/python/rounds.py says. `cargo xtask bench python-calls` and so on run it beside its peers.

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Instant;

use serde_bytes::{ByteBuf, Bytes};
use thither_python::{Object, Pending, Python, locals};

/// Calls ahead of the clock: what they wake up, import or cache is not what is measured.
const WARM: usize = 10;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let python = std::env::args().nth(1).ok_or("which Python?")?;
    let here = Python::local(&python)?;
    let mut out = io::stdout().lock();
    writeln!(out, r#"{{"version": "thither-python {}"}}"#, env!("CARGO_PKG_VERSION"))?;
    for line in io::stdin().lock().lines() {
        match round(&here, &python, &line?) {
            Ok(values) => writeln!(out, r#"{{"values": {values:?}}}"#)?,
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

/// Its samples: nanoseconds, or KiB.
fn round(here: &Python, python: &str, line: &str) -> Result<Vec<u64>> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let numbers = words.map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?;
    let number = |index: usize| numbers.get(index).copied().ok_or("a number is missing");
    match name {
        "connect" => once(|| open(python)).map(|(nanoseconds, _)| vec![nanoseconds]),
        "many" => many(python, number(0)?),
        "getpid" => {
            let getpid = here.import("os")?.getattr("getpid")?.resolve()?;
            each(number(0)?, || Ok(getpid.call0::<u32>()?))
        }
        "modules" => each(number(0)?, || Ok(here.get("os.getpid")?.call0::<u32>()?)),
        "pipelined" => pipelined(here, number(0)?, number(1)?),
        "callback" => callback(here, number(0)?),
        "send" => send(here, number(0)?),
        "receive" => receive(here, number(0)?),
        "list-send" => send_list(here, number(0)?),
        "list-receive" => receive_list(here, number(0)?),
        "iterate" => iterate(here, number(0)?),
        "uss" => uss(python),
        "stream-send" => peak(|| stream_send(here, number(0)?, number(1)?)),
        "stream-receive" => peak(|| stream_receive(here, number(0)?, number(1)?)),
        "stream-iterate" => peak(|| stream_iterate(here, number(0)?, number(1)?)),
        _ => Ok(Vec::new()),
    }
}

/// A connection that has heard a first reply, and what that was.
fn open(python: &str) -> Result<(Python, u32)> {
    let remote = Python::local(python)?;
    let pid = remote.get("os.getpid")?.call0()?;
    Ok((remote, pid))
}

fn many(python: &str, count: usize) -> Result<Vec<u64>> {
    let (nanoseconds, _remotes) = once(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| open(python))).collect();
            let opened = threads.into_iter().map(|thread| thread.join().map_err(|_| "a panic")?);
            opened.collect::<Result<Vec<_>>>()
        })
    })?;
    Ok(vec![nanoseconds])
}

fn pipelined(here: &Python, count: usize, window: usize) -> Result<Vec<u64>> {
    let getpid = here.import("os")?.getattr("getpid")?.resolve()?;
    let (nanoseconds, ()) = once(|| {
        let mut pending: VecDeque<Pending<u32>> = VecDeque::with_capacity(window);
        for _ in 0..count {
            if pending.len() == window {
                pending.pop_front().map(Pending::wait).transpose()?;
            }
            pending.push_back(getpid.start0()?);
        }
        for call in pending {
            call.wait()?;
        }
        Ok(())
    })?;
    Ok(vec![nanoseconds / count as u64])
}

fn callback(here: &Python, count: usize) -> Result<Vec<u64>> {
    let function: Object = here.eval("lambda f, n: [f(i) for i in range(n)][-1]", ())?;
    let add = here.callback(|(number,): (usize,)| Ok(number + 1));
    let (nanoseconds, last) = once(|| Ok(function.call1::<usize>((&add, count))?))?;
    expect(last, count)?;
    Ok(vec![nanoseconds / count as u64])
}

fn send(here: &Python, size: usize) -> Result<Vec<u64>> {
    let blob = vec![b'x'; size];
    let length = here.get("len")?.resolve()?;
    let (nanoseconds, got) = once(|| Ok(length.call1((Bytes::new(&blob),))?))?;
    expect(got, size)?;
    Ok(vec![nanoseconds])
}

fn receive(here: &Python, size: usize) -> Result<Vec<u64>> {
    let blob: Object = here.eval("lambda blob: lambda: blob", ())?;
    let blob: Object = blob.call1((Bytes::new(&vec![b'x'; size]),))?;
    let (nanoseconds, got) = once(|| Ok(blob.call0::<ByteBuf>()?))?;
    expect(got.len(), size)?;
    Ok(vec![nanoseconds])
}

fn send_list(here: &Python, count: usize) -> Result<Vec<u64>> {
    let numbers: Vec<i64> = (0..count as i64).collect();
    let length = here.get("len")?.resolve()?;
    let (nanoseconds, got) = once(|| Ok(length.call1((&numbers,))?))?;
    expect(got, count)?;
    Ok(vec![nanoseconds])
}

fn receive_list(here: &Python, count: usize) -> Result<Vec<u64>> {
    let numbers: Object = here.eval("list(range(n))", locals! { n: count })?;
    let (nanoseconds, got) = once(|| Ok(numbers.extract::<Vec<i64>>()?))?;
    expect(got.len(), count)?;
    Ok(vec![nanoseconds])
}

fn iterate(here: &Python, count: usize) -> Result<Vec<u64>> {
    let numbers: Object = here.eval("list(range(n))", locals! { n: count })?;
    let (nanoseconds, total) = once(|| {
        let mut total = 0;
        for number in numbers.iter::<usize>()? {
            total += number?;
        }
        Ok(total)
    })?;
    expect(total, count * (count - 1) / 2)?;
    Ok(vec![nanoseconds / count as u64])
}

/// proc_pid_smaps(5).
fn uss(python: &str) -> Result<Vec<u64>> {
    let (_remote, pid) = open(python)?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(vec![kib.sum()])
}

fn stream_send(here: &Python, blocks: usize, size: usize) -> Result<()> {
    let block = vec![b'x'; size];
    let length = here.get("len")?.resolve()?;
    (0..blocks).try_for_each(|_| expect(length.call1((Bytes::new(&block),))?, size))
}

fn stream_receive(here: &Python, blocks: usize, size: usize) -> Result<()> {
    let make = here.get("bytes")?.resolve()?;
    (0..blocks).try_for_each(|_| expect(make.call1::<ByteBuf>((size,))?.len(), size))
}

fn stream_iterate(here: &Python, blocks: usize, size: usize) -> Result<()> {
    let numbers = locals! { blocks: blocks, size: size };
    let all: Object = here.eval("map(bytes, [size] * blocks)", numbers)?;
    let mut seen = 0;
    for block in all.iter::<ByteBuf>()? {
        expect(block?.len(), size)?;
        seen += 1;
    }
    expect(seen, blocks)
}

/// The peak of our resident set in KiB while something runs: `VmHWM` of proc_pid_status(5), put back by a 5 in clear_refs.
fn peak(run: impl FnOnce() -> Result<()>) -> Result<Vec<u64>> {
    fs::write("/proc/self/clear_refs", "5")?;
    run()?;
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).ok_or("no VmHWM")?;
    Ok(vec![kib.trim().parse()?])
}

fn each<T>(count: usize, mut call: impl FnMut() -> Result<T>) -> Result<Vec<u64>> {
    for _ in 0..WARM {
        call()?;
    }
    (0..count).map(|_| once(&mut call).map(|(nanoseconds, _)| nanoseconds)).collect()
}

fn once<T>(run: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
    let start = Instant::now();
    let result = run()?;
    Ok((start.elapsed().as_nanos() as u64, result))
}

fn expect(got: usize, wanted: usize) -> Result<()> {
    (got == wanted).then_some(()).ok_or_else(|| format!("{got} instead of {wanted}").into())
}
