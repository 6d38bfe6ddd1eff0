//! What Python over there costs at least, to be measured against: a client and an agent of one small file
//! (python_floor.py), which is handed to `python3 -c`. No reader thread, no output of the program, no proxies, no
//! errors, no versions: calls by name. It trusts the interpreter, and encodes and decodes just what the rounds need.
//!
//! `python_floor PYTHON` answers rounds as the drivers in xtask/src/bench/python do. Python starts as it is by default,
//! since without its site folders (`-I -S`, 2 ms) it would not be the interpreter that anyone asks for.

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::buffer::spare_capacity;

const AGENT: &str = include_str!("python_floor.py");
/// What is read at once while replies are small, in bytes.
const CHUNK: usize = 64 * 1024;
/// Calls are sent in so many groups, that one is on its way while another is answered.
const GROUPS: usize = 2;
/// More calls follow at once.
const MORE: u64 = 1 << 63;
/// Ahead of the clock.
const WARM: usize = 10;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let python = std::env::args().nth(1).ok_or("which Python?")?;
    let mut here = Remote::start(&python)?;
    let mut out = io::stdout().lock();
    writeln!(out, r#"{{"version": "floor, {python}"}}"#)?;
    for line in io::stdin().lock().lines() {
        match round(&mut here, &python, &line?) {
            Ok(values) => writeln!(out, r#"{{"values": {values:?}}}"#)?,
            Err(error) => writeln!(out, r#"{{"error": {:?}}}"#, error.to_string())?,
        }
    }
    here.end()
}

/// Its samples: nanoseconds, or KiB.
fn round(here: &mut Remote, python: &str, line: &str) -> Result<Vec<u64>> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let numbers = words.map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?;
    let number = |index: usize| numbers.get(index).copied().ok_or("a number is missing");
    match name {
        "connect" => connect(python),
        "many" => many(python, number(0)?),
        // Each call has the name of its function.
        "getpid" | "modules" => getpid(here, number(0)?),
        "pipelined" => pipelined(here, number(0)?, number(1)?),
        "send" => send(here, number(0)?),
        "receive" => receive(here, number(0)?),
        "list-send" => send_list(here, number(0)?),
        "list-receive" => receive_list(here, number(0)?),
        "uss" => uss(python),
        _ => Ok(Vec::new()),
    }
}

/// An interpreter, and the two pipes to it.
struct Remote {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// What was read and is not used yet: `read[used..]`.
    read: Vec<u8>,
    used: usize,
    /// The frame that is being made.
    frame: Vec<u8>,
}

impl Remote {
    fn start(python: &str) -> Result<Remote> {
        let mut command = Command::new(python);
        command.args(["-c", AGENT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let frame = Vec::with_capacity(CHUNK);
        Ok(Remote { child, stdin, stdout, read: Vec::with_capacity(CHUNK), used: 0, frame })
    }

    /// Appends a call whose arguments `encode` writes, as a tuple.
    fn call(&mut self, name: &str, raw: usize, more: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        let frame = &mut self.frame;
        let start = frame.len();
        frame.extend_from_slice(&[0; 8]);
        tuple(frame, 2);
        text(frame, name);
        encode(frame);
        let length = (frame.len() - start - 8) as u64;
        let header = length | (raw as u64) << 32 | more;
        frame[start..start + 8].copy_from_slice(&header.to_le_bytes());
    }

    fn call_getpid(&mut self, more: u64) {
        self.call("os.getpid", 0, more, |frame| tuple(frame, 0));
    }

    fn flush(&mut self) -> Result<()> {
        self.stdin.write_all(&self.frame)?;
        self.frame.clear();
        Ok(())
    }

    /// Reads until so many bytes are at hand.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        while self.read.len() - self.used < wanted {
            if self.used == self.read.len() {
                self.read.clear();
                self.used = 0;
            } else if self.read.len() == self.read.capacity() {
                self.read.drain(..self.used);
                self.used = 0;
                self.read.reserve(wanted.max(CHUNK));
            }
            if rustix::io::read(&self.stdout, spare_capacity(&mut self.read))? == 0 {
                return Err("it has ended".into());
            }
        }
        Ok(())
    }

    /// The lengths of a payload and of raw bytes behind it.
    fn header(&mut self) -> Result<(usize, usize)> {
        self.fill(8)?;
        let mut header = [0; 8];
        header.copy_from_slice(&self.read[self.used..self.used + 8]);
        self.used += 8;
        let header = u64::from_le_bytes(header);
        Ok((header as u32 as usize, (header >> 32) as usize))
    }

    fn payload(&mut self) -> Result<&[u8]> {
        let (length, _) = self.header()?;
        self.fill(length)?;
        self.used += length;
        Ok(&self.read[self.used - length..self.used])
    }

    /// Raw bytes, read straight to where they stay.
    fn raw(&mut self) -> Result<Vec<u8>> {
        let (_, length) = self.header()?;
        let mut bytes = Vec::with_capacity(length);
        let have = length.min(self.read.len() - self.used);
        bytes.extend_from_slice(&self.read[self.used..self.used + have]);
        self.used += have;
        while bytes.len() < length {
            if rustix::io::read(&self.stdout, spare_capacity(&mut bytes))? == 0 {
                return Err("it has ended".into());
            }
        }
        Ok(bytes)
    }

    fn int(&mut self) -> Result<i64> {
        let payload = self.payload()?;
        int(payload).map(|(number, _)| number)
    }

    /// A call whose only argument is text.
    fn tell(&mut self, name: &str, code: &str) -> Result<()> {
        self.call(name, 0, 0, |frame| {
            tuple(frame, 1);
            text(frame, code);
        });
        self.flush()
    }

    fn getpid(&mut self) -> Result<i64> {
        self.call_getpid(0);
        self.flush()?;
        self.int()
    }

    fn end(self) -> Result<()> {
        let Remote { mut child, stdin, .. } = self;
        drop(stdin);
        let status = child.wait()?;
        status.success().then_some(()).ok_or_else(|| status.to_string().into())
    }
}

fn connect(python: &str) -> Result<Vec<u64>> {
    let (nanoseconds, remote) = once(|| {
        let mut remote = Remote::start(python)?;
        remote.getpid()?;
        Ok(remote)
    })?;
    remote.end()?;
    Ok(vec![nanoseconds])
}

/// No thread is needed: all start before the first is waited for.
fn many(python: &str, count: usize) -> Result<Vec<u64>> {
    let (nanoseconds, remotes) = once(|| {
        let mut remotes = Vec::with_capacity(count);
        for _ in 0..count {
            let mut remote = Remote::start(python)?;
            remote.call_getpid(0);
            remote.flush()?;
            remotes.push(remote);
        }
        for remote in &mut remotes {
            remote.int()?;
        }
        Ok(remotes)
    })?;
    remotes.into_iter().try_for_each(Remote::end)?;
    Ok(vec![nanoseconds])
}

fn getpid(here: &mut Remote, count: usize) -> Result<Vec<u64>> {
    for _ in 0..WARM {
        here.getpid()?;
    }
    (0..count).map(|_| once(|| here.getpid()).map(|(nanoseconds, _)| nanoseconds)).collect()
}

fn pipelined(here: &mut Remote, count: usize, window: usize) -> Result<Vec<u64>> {
    let group = window / GROUPS;
    let (nanoseconds, ()) = once(|| {
        let mut pending = VecDeque::new();
        let mut left = count;
        while left > 0 || !pending.is_empty() {
            if left == 0 || pending.len() == GROUPS {
                for _ in 0..pending.pop_front().unwrap_or(0) {
                    here.int()?;
                }
                continue;
            }
            let calls = group.min(left);
            for call in 1..=calls {
                here.call_getpid(if call < calls { MORE } else { 0 });
            }
            here.flush()?;
            pending.push_back(calls);
            left -= calls;
        }
        Ok(())
    })?;
    Ok(vec![nanoseconds / count as u64])
}

fn send(here: &mut Remote, size: usize) -> Result<Vec<u64>> {
    let blob = vec![b'x'; size];
    let (nanoseconds, got) = once(|| {
        here.call("builtins.len", size, 0, |frame| tuple(frame, 0));
        here.flush()?;
        here.stdin.write_all(&blob)?;
        here.int()
    })?;
    expect(got as usize, size)?;
    Ok(vec![nanoseconds])
}

fn receive(here: &mut Remote, size: usize) -> Result<Vec<u64>> {
    here.tell("hold", &format!("blob = b'x' * {size}"))?;
    here.payload()?;
    let (nanoseconds, got) = once(|| {
        here.tell("builtins.eval", "blob")?;
        here.raw()
    })?;
    expect(got.len(), size)?;
    Ok(vec![nanoseconds])
}

fn send_list(here: &mut Remote, count: usize) -> Result<Vec<u64>> {
    let numbers: Vec<i64> = (0..count as i64).collect();
    let (nanoseconds, got) = once(|| {
        here.call("builtins.len", 0, 0, |frame| {
            tuple(frame, 1);
            list(frame, &numbers);
        });
        here.flush()?;
        here.int()
    })?;
    expect(got as usize, count)?;
    Ok(vec![nanoseconds])
}

fn receive_list(here: &mut Remote, count: usize) -> Result<Vec<u64>> {
    here.tell("hold", &format!("numbers = list(range({count}))"))?;
    here.payload()?;
    let (nanoseconds, got) = once(|| {
        here.tell("builtins.eval", "numbers")?;
        ints(here.payload()?)
    })?;
    expect(got.len(), count)?;
    Ok(vec![nanoseconds])
}

/// proc_pid_smaps(5).
fn uss(python: &str) -> Result<Vec<u64>> {
    let mut remote = Remote::start(python)?;
    let pid = remote.getpid()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    remote.end()?;
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(vec![kib.sum()])
}

fn once<T>(run: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
    let start = Instant::now();
    let result = run()?;
    Ok((start.elapsed().as_nanos() as u64, result))
}

fn expect(got: usize, wanted: usize) -> Result<()> {
    (got == wanted).then_some(()).ok_or_else(|| format!("{got} instead of {wanted}").into())
}

// Marshal version 2, as far as it is needed.

fn tuple(frame: &mut Vec<u8>, length: u32) {
    frame.push(b'(');
    frame.extend_from_slice(&length.to_le_bytes());
}

fn text(frame: &mut Vec<u8>, text: &str) {
    frame.push(b'u');
    frame.extend_from_slice(&(text.len() as u32).to_le_bytes());
    frame.extend_from_slice(text.as_bytes());
}

/// Of numbers that fit into 32 bits.
fn list(frame: &mut Vec<u8>, numbers: &[i64]) {
    frame.push(b'[');
    frame.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    frame.reserve(5 * numbers.len());
    for &number in numbers {
        let [a, b, c, d] = (number as i32).to_le_bytes();
        frame.extend_from_slice(&[b'i', a, b, c, d]);
    }
}

/// A number of 32 bits, and what follows.
fn int(bytes: &[u8]) -> Result<(i64, &[u8])> {
    match bytes {
        [b'i', a, b, c, d, rest @ ..] => Ok((i32::from_le_bytes([*a, *b, *c, *d]).into(), rest)),
        _ => Err("no number of 32 bits".into()),
    }
}

fn ints(bytes: &[u8]) -> Result<Vec<i64>> {
    let [b'[', a, b, c, d, rest @ ..] = bytes else { return Err("no list".into()) };
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    let (items, end) = rest.as_chunks::<5>();
    let mut numbers = Vec::with_capacity(length);
    for item in items {
        numbers.push(int(item)?.0);
    }
    expect(5 * numbers.len() + end.len(), 5 * length)?;
    Ok(numbers)
}
