//! Many commands at a place at once: `many_streams ADDRESS COUNT` has each of them echo small messages, and checks every byte.
//! `cargo xtask bench daemon-many` runs it: for each line of its input it does a round, and answers with a line of JSON.
//!
//! | line | answer |
//! |---|---|
//! | `open` | starts a `cat` for each, all at the same time: `{"values": [STARTED, FAILED]}` |
//! | `echo SECONDS` | `{"values": [ROUND_TRIPS, BYTES, FAILED]}` |
//! | `close` | ends their input, and waits for their ends: `{"values": [ENDED, FAILED]}` |
//!
//! The first failures are told on standard error.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use thither::{Command, Process, Stream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A thread's stack, in bytes.
const STACK: usize = 128 * 1024;
/// The longest message, in bytes.
const LONGEST: u64 = 1024;
/// How much longer than asked for anybody may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many failures are told.
const TOLD: usize = 3;

#[derive(Clone, Copy)]
enum Order {
    Open,
    Echo(Duration),
    Close,
}

/// Round trips and bytes.
type Done = (u64, u64);

struct Client {
    orders: Sender<Order>,
    answers: Receiver<Result<Done>>,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, count] = &args[..] else { return Err("which place, and how many?".into()) };
    let clients = (0..count.parse()?).map(|number| client(address.clone(), number));
    let clients: Vec<Client> = clients.collect::<Result<_>>()?;
    let mut out = io::stdout().lock();
    writeln!(out, r#"{{"version": "thither {}"}}"#, env!("CARGO_PKG_VERSION"))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (order, limit) = match line.split_once(' ') {
            Some(("echo", seconds)) => {
                let time = Duration::from_secs(seconds.parse()?);
                (Order::Echo(time), time + PATIENCE)
            }
            _ if line == "open" => (Order::Open, PATIENCE),
            _ => (Order::Close, PATIENCE),
        };
        let is_echo = matches!(order, Order::Echo(_));
        let [good, bad, trips, bytes] = all(&clients, order, limit);
        let values = if is_echo { vec![trips, bytes, bad] } else { vec![good, bad] };
        writeln!(out, r#"{{"values": {values:?}}}"#)?;
    }
    Ok(())
}

/// Lets all of them do this; how many could, how many could not, and what they have done together.
fn all(clients: &[Client], order: Order, limit: Duration) -> [u64; 4] {
    let deadline = Instant::now() + limit;
    for client in clients {
        // One that is gone has no answer either.
        let _ = client.orders.send(order);
    }
    let [mut good, mut bad, mut trips, mut bytes] = [0; 4];
    let mut told = 0;
    for (number, client) in clients.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = client.answers.recv_timeout(left);
        match answer.map_err(|_| "no answer in time".into()).and_then(|answer| answer) {
            Ok(done) => {
                good += 1;
                trips += done.0;
                bytes += done.1;
            }
            Err(error) => {
                bad += 1;
                told += 1;
                if told <= TOLD {
                    let _ = writeln!(io::stderr(), "client {number}: {}", chain(&*error));
                }
            }
        }
    }
    [good, bad, trips, bytes]
}

/// An error and its causes, in a line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn client(address: String, number: u64) -> Result<Client> {
    let (orders, its_orders) = channel();
    let (answer, answers) = channel();
    thread::Builder::new().stack_size(STACK).spawn(move || {
        let mut cat = None;
        // Each message has another length and other bytes than the one before, and than others' at that time.
        let mut seed = number;
        for order in its_orders {
            let done = match order {
                Order::Open => Cat::start(&address).map(|started| {
                    cat = Some(started);
                    (0, 0)
                }),
                Order::Echo(time) => match &mut cat {
                    Some(cat) => cat.echo(time, &mut seed),
                    None => Err("it was not started".into()),
                },
                Order::Close => match cat.take() {
                    Some(cat) => cat.end().map(|()| (0, 0)),
                    None => Err("it was not started".into()),
                },
            };
            if answer.send(done).is_err() {
                return;
            }
        }
    })?;
    Ok(Client { orders, answers })
}

struct Cat {
    process: Process,
    input: File,
    output: File,
}

impl Cat {
    fn start(address: &str) -> Result<Cat> {
        let place = thither::connect(address)?;
        let command = Command::new("cat").stdin(Stream::Piped).stdout(Stream::Piped);
        let mut process = place.spawn(&command.stderr(Stream::Null))?;
        let input = process.stdin.take().ok_or("no input")?.into();
        let output = process.stdout.take().ok_or("no output")?.into();
        Ok(Cat { process, input, output })
    }

    /// One message after the other.
    fn echo(&mut self, time: Duration, seed: &mut u64) -> Result<Done> {
        let (start, mut done) = (Instant::now(), (0, 0));
        let mut message = Vec::new();
        let mut echo = Vec::new();
        while start.elapsed() < time {
            fill(&mut message, seed);
            echo.resize(message.len(), 0);
            self.input.write_all(&message)?;
            self.output.read_exact(&mut echo)?;
            if echo != message {
                return Err("other bytes came back".into());
            }
            done = (done.0 + 1, done.1 + message.len() as u64);
        }
        Ok(done)
    }

    /// Nothing more comes, and it ends by itself.
    fn end(mut self) -> Result<()> {
        drop(self.input);
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest)?;
        if !rest.is_empty() {
            return Err(format!("{} bytes too many came back", rest.len()).into());
        }
        let exit = self.process.wait()?;
        exit.success().then_some(()).ok_or_else(|| format!("cat: {exit:?}").into())
    }
}

/// A message of 1 to [`LONGEST`] bytes.
fn fill(message: &mut Vec<u8>, seed: &mut u64) {
    let length = next(seed) % LONGEST + 1;
    message.clear();
    while (message.len() as u64) < length {
        message.extend_from_slice(&next(seed).to_le_bytes());
    }
    message.truncate(length as usize);
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
