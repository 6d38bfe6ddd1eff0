//! pushy's own protocol on its pipe: `u8 argc, (u32be length, bytes)*`, then raw standard input and output, until the pipe ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use thither_place::streams::Moved;
use thither_place::{
    Command, Control, Error, Event, Process, Program, Result, Stream, Streams, WindowSize,
};
use thither_term::{Interest, Pump, poll};

use super::carry::Fate;
use super::unsupported;

/// How long nothing may come once the caller has closed the pipe of its input, whose end cannot be told, before the program is let go.
const QUIET: Duration = Duration::from_secs(1);

/// What is said first.
pub(super) fn preface(command: &Command, place: &str) -> Result<Vec<u8>> {
    let refuse =
        |what: &str| Err(unsupported(place, format!("{what}: pushy's service has no word for it")));
    let Program::Named(program) = &command.program else {
        return refuse("run a login shell");
    };
    if command.env_clear || !command.env.is_empty() {
        return refuse("set variables");
    }
    if command.dir.is_some() {
        return refuse("start in a directory");
    }
    if command.user.is_some() {
        return refuse("become another user");
    }
    if matches!(command.streams, Streams::Terminal(_)) {
        return refuse("make a terminal");
    }
    let words: Vec<&[u8]> =
        std::iter::once(program).chain(&command.args).map(|word| word.as_bytes()).collect();
    let too_long = || Error::Spawn {
        program: program.to_string_lossy().into_owned(),
        place: place.into(),
        source: Errno::TOOBIG.into(),
        hint: Some("pushy's service takes 254 arguments".into()),
    };
    let mut preface = vec![u8::try_from(words.len()).map_err(|_| too_long())?];
    for word in words {
        let length = u32::try_from(word.len()).map_err(|_| too_long())?;
        preface.extend_from_slice(&length.to_be_bytes());
        preface.extend_from_slice(word);
    }
    Ok(preface)
}

/// Holds what runs at the other end of this stream. A thread moves its bytes.
pub(super) fn spawn(
    stream: OwnedFd,
    fate: Fate,
    preface: Vec<u8>,
    command: &Command,
    place: &str,
) -> Result<Process> {
    let here = |source: io::Error| Error::Place {
        action: "open the command's streams".into(),
        place: place.into(),
        source: Box::new(source),
        hint: None,
    };
    let Moved { ours, piped } = Moved::open(&command.streams).map_err(here)?;
    let [input, output, _nobody_has_errors] = ours;
    let closes = matches!(&command.streams, Streams::Separate { stdin: Stream::Piped, .. });
    let (over, ended) = io::pipe().map_err(here)?;
    let (stop, stopped) = io::pipe().map_err(here)?;
    let stream = Arc::new(stream);
    let mut lines = Lines::new(&stream, input, output, preface).map_err(here)?;
    lines.closes = closes;
    let work = move || {
        let _ended = ended;
        if let Err(error) = lines.go(stop.as_fd()) {
            tracing::debug!(%error, "a stream is lost");
        }
    };
    thread::Builder::new().name("smb streams".into()).spawn(work).map_err(here)?;
    let held = Held { place: place.into(), over: over.into(), fate, _stopped: stopped.into() };
    let mut process = Process::new(Box::new(held));
    [process.stdin, process.stdout, process.stderr] = piped;
    process.apart = true;
    Ok(process)
}

/// Both directions.
struct Lines {
    up: Pump<'static>,
    down: Pump<'static>,
    /// Whether the end of the input is to be the end of all.
    closes: bool,
}

impl Lines {
    fn new(
        stream: &Arc<OwnedFd>,
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
        preface: Vec<u8>,
    ) -> io::Result<Lines> {
        let null = || File::options().read(true).write(true).open("/dev/null");
        let input = input.map_or_else(|| null().map(OwnedFd::from), Ok)?;
        let output = output.map_or_else(|| null().map(OwnedFd::from), Ok)?;
        // The end of the input would be the end of the pipe, and of what the program has yet to say.
        let mut up = Pump::new(input, Arc::clone(stream))?.keep_open();
        up.push(&preface);
        let down = Pump::new(Arc::clone(stream), output)?.keep_open();
        Ok(Lines { up, down, closes: false })
    }

    /// Until the pipe ends, nobody wants its output, or `stop` has no other end any more.
    fn go(&mut self, stop: BorrowedFd<'_>) -> io::Result<()> {
        let mut quiet_since = None;
        while !self.down.is_done() && !self.down.is_closed() {
            let [input, to_pipe] = self.up.interests();
            let [from_pipe, output] = self.down.interests();
            let interests = [input, to_pipe, from_pipe, output, Interest::Read(stop)];
            let over = self.closes && self.up.is_done();
            let since = *quiet_since.get_or_insert_with(Instant::now);
            let left = over.then(|| (since + QUIET).saturating_duration_since(Instant::now()));
            let ready = poll(&interests, left)?;
            if ready[4].now || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            if ready[0].now {
                self.up.fill()?;
            }
            if ready[1].now {
                self.up.drain()?;
            }
            if ready[2].now {
                self.down.fill()?;
            }
            if ready[3].now {
                self.down.drain()?;
            }
            if ready[..4].iter().any(|ready| ready.now) {
                quiet_since = None;
            }
        }
        Ok(())
    }
}

/// How a program of pushy's service is held.
struct Held {
    place: String,
    /// Ends when the thread does.
    over: OwnedFd,
    fate: Fate,
    /// Closing it ends the thread, and with it the pipe.
    _stopped: OwnedFd,
}

impl Held {
    fn cannot(&self, action: &str) -> Error {
        unsupported(&self.place, format!("{action}: pushy's service has no word for it"))
    }
}

impl Control for Held {
    fn resize(&mut self, _: WindowSize) -> Result<()> {
        Err(self.cannot("resize a command without a terminal"))
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        Err(self.cannot(&format!("send signal {signal}")))
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        let ready = poll(&[Interest::Read(self.over.as_fd())], Some(Duration::ZERO));
        let ready =
            ready.map_err(|source| Error::Terminal { action: "wait for the command", source })?;
        match (ready[0].now, self.fate.is_closed()) {
            (false, _) => Ok(None),
            (true, true) => Err(self.cannot("tell how the command ended")),
            (true, false) => Err(Error::Disconnected { place: self.place.clone() }),
        }
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> Result<()> {
        Err(self.cannot("end the input"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: Command, expected: std::result::Result<&[u8], &str>) {
        let made = preface(&command, "smb:host").map_err(|error| error.to_string());
        assert_eq!(made.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn arguments_are_counted_and_long() {
        check(Command::new("py").args(["-c", ""]), Ok(b"\x03\0\0\0\x02py\0\0\0\x02-c\0\0\0\0"));
        let most = Command::new("x").args(vec!["y"; 254]);
        assert_eq!(preface(&most, "smb:host").unwrap()[0], 255);
        check(Command::new("x").args(vec!["y"; 255]), Err("cannot run `x` in `smb:host`"));
    }

    #[test]
    fn what_it_has_no_word_for_is_refused_by_name() {
        let x = || Command::new("x");
        let refused =
            |what: &str| format!("`smb:host` cannot {what}: pushy's service has no word for it");
        check(Command::login_shell(), Err(&refused("run a login shell")));
        check(x().env("A", "1"), Err(&refused("set variables")));
        check(x().env_clear(), Err(&refused("set variables")));
        check(x().dir("/"), Err(&refused("start in a directory")));
        check(x().user("root"), Err(&refused("become another user")));
        check(x().terminal(WindowSize { cols: 80, rows: 24 }), Err(&refused("make a terminal")));
    }
}
