//! Files to and from any place that can run a command: by `sh` and `tar` over there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use thither_term::{Interest, poll};

use super::destination::random_suffix;
use super::failed::cut_short;
use super::{Archive, Kind, Tar, named};
use crate::process::Event;
use crate::{Command, Error, Exit, Place, Process, Result, Stream};

/// The two scripts. They run under any POSIX shell, with GNU's tar, busybox's and others.
const GET: &str = include_str!("get.sh");
const PUT: &str = concat!(include_str!("name.sh"), include_str!("put.sh"));
/// Functions of a POSIX shell for places that bring files by other means and only have to give them their names: `name FROM
/// TO KIND MODE`, with the kind `d` for a directory and the mode in octal. It exits with 97, and why on standard error.
pub const NAME_FUNCTIONS: &str = include_str!("name.sh");
/// How the scripts say what is wrong, besides on standard error.
const NO_TAR: i32 = 96;
const NOT_FOUND: i32 = 98;
/// The name of the file at the end by which the script knows that all has arrived.
const MARKER: &str = "complete";
/// The name of the root on its way.
const ROOT: &str = "root";
/// After how long without anything those who watch are told.
const TICK: Duration = Duration::from_millis(200);
/// How many ticks a script has to tidy up once there is nothing more for it: 5 seconds.
const FAREWELL: usize = 25;
/// How much of what a script says on standard error is kept.
const MAX_SAID: usize = 8192;
const BUFFER: usize = 256 * 1024;

/// [`Place::get`] by a command over there.
///
/// # Errors
/// As [`Place::spawn`]; what goes wrong later is an error of the archive.
pub fn get<P: Place + ?Sized>(place: &P, path: &Path) -> Result<Archive> {
    let named = named(path);
    let command = Command::new("sh").args(["-c", GET, "thither"]);
    let command = command.arg(plain(named.dir)).arg(named.name);
    let command = command.stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Piped);
    let talk = Talk::with(place.spawn(&command)?);
    Ok(Archive::from_tar(Output(talk), named.name))
}

/// [`Place::put`] by a command over there.
///
/// # Errors
/// As [`Place::put`].
pub fn put<P: Place + ?Sized>(place: &P, mut archive: Archive, path: &Path) -> Result<()> {
    let failed = |source: io::Error| failed(path, source);
    let root = archive.root().map_err(failed)?;
    let kind = if root.kind == Kind::Directory { "d" } else { "f" };
    let mode = format!("{:o}", root.mode);
    let named = named(path);
    let command = Command::new("sh").args(["-c", PUT, "thither"]);
    let command = command.arg(plain(path)).arg(plain(named.dir)).arg(named.name);
    let command = command.arg(if named.is_directory { "/" } else { "" });
    let command = command.arg(archive.name()).args([kind, &mode]);
    let command = command.arg(random_suffix().map_err(failed)?);
    let command = command.stdin(Stream::Piped).stdout(Stream::Null).stderr(Stream::Piped);
    let mut talk = Talk::with(place.spawn(&command)?);
    let mut tar = archive.renamed(ROOT).into_tar().marked(MARKER);
    let sent = talk.send(&mut tar).and_then(|()| talk.finish(&mut tar));
    match sent {
        Ok(()) => talk.verdict().map_err(failed),
        Err(error) => {
            // Its input has ended without the marker, so that it removes what it has made.
            talk.input = None;
            for _ in 0..FAREWELL {
                if !matches!(talk.step(None), Ok(false)) {
                    break;
                }
            }
            Err(failed(error))
        }
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    let hint =
        (source.kind() == io::ErrorKind::Unsupported).then(|| "install tar over there".to_owned());
    let action = format!("copy to {}", crate::error::quoted(path));
    Error::Copy { action, source: Box::new(source), hint }
}

/// A path that no program takes for an option.
fn plain(path: &Path) -> PathBuf {
    match path.as_os_str().as_encoded_bytes() {
        b"" => ".".into(),
        [b'/', ..] => path.to_owned(),
        _ => {
            let mut plain = std::ffi::OsString::from("./");
            plain.push(path);
            plain.into()
        }
    }
}

/// A script that runs, and what it has said.
struct Talk {
    process: Process,
    input: Option<File>,
    output: Option<File>,
    errors: Option<File>,
    said: Vec<u8>,
    exit: Option<Exit>,
}

impl Talk {
    fn with(mut process: Process) -> Talk {
        let [input, output, errors] =
            [process.stdin.take(), process.stdout.take(), process.stderr.take()]
                .map(|fd| fd.map(File::from));
        Talk { process, input, output, errors, said: Vec::new(), exit: None }
    }

    /// Waits for something, for one tick at most: `true` if it has ended or is ready to take or give bytes.
    fn step(&mut self, tar: Option<&mut Tar>) -> io::Result<bool> {
        let write = self.input.as_ref().map(|file| Interest::Write(file.as_fd()));
        let output = self.output.as_ref().map(|file| Interest::Read(file.as_fd()));
        let errors = self.errors.as_ref().map(|file| Interest::Read(file.as_fd()));
        // While it has something to say, its end is not asked for.
        let end = (self.output.is_none() && self.exit.is_none())
            .then(|| Interest::Read(self.process.control.as_fd()));
        let interests = [write, output, errors, end].map(Option::unwrap_or_default);
        let ready = poll(&interests, Some(TICK))?;
        if ready[2].now {
            self.listen()?;
        }
        if ready[3].now
            && let Some(Event::Exited(exit)) =
                self.process.control.event().map_err(io::Error::other)?
        {
            // What it said last may be there only now.
            while self.errors.is_some()
                && poll(&self.error_interest(), Some(Duration::ZERO))?[0].now
            {
                self.listen()?;
            }
            self.exit = Some(exit);
        }
        if ready.iter().all(|ready| !ready.now)
            && let Some(tar) = tar
        {
            tar.idle()?;
        }
        Ok(ready[0].now || ready[1].now || self.exit.is_some())
    }

    fn error_interest(&self) -> [Interest<'_>; 1] {
        [self.errors.as_ref().map(|file| Interest::Read(file.as_fd())).unwrap_or_default()]
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let Some(errors) = &mut self.errors else { return Ok(()) };
        match errors.read(&mut chunk) {
            Ok(0) => self.errors = None,
            Ok(read) => {
                self.said.extend_from_slice(&chunk[..read]);
                // The end says most.
                let surplus = self.said.len().saturating_sub(MAX_SAID);
                self.said.drain(..surplus);
            }
            Err(error) if is_for_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sends all of the stream, or as much as is taken.
    fn send(&mut self, tar: &mut Tar) -> io::Result<()> {
        if let Some(input) = &self.input {
            // It is our own end of a new pipe or socket, which nobody else has.
            fcntl_setfl(input, fcntl_getfl(input)? | OFlags::NONBLOCK)?;
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            let filled = tar.fill(&mut buffer)?;
            let mut left = &buffer[..filled];
            while !left.is_empty() {
                let Some(input) = &mut self.input else { return Ok(()) };
                match input.write(left) {
                    Ok(written) => left = &left[written..],
                    // Why it takes no more it says itself.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) if is_for_later(&error) => {
                        if self.step(Some(tar))? && self.exit.is_some() {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            if filled < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Ends its input and waits for its end.
    fn finish(&mut self, tar: &mut Tar) -> io::Result<()> {
        self.input = None;
        while self.exit.is_none() {
            self.step(Some(tar))?;
        }
        Ok(())
    }

    /// What its end means.
    fn verdict(&self) -> io::Result<()> {
        let said = String::from_utf8_lossy(&self.said);
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
        match (self.exit, last) {
            (Some(Exit::Code(0)), _) => Ok(()),
            (Some(Exit::Code(NO_TAR)), _) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "there is no `tar` over there"))
            }
            (Some(Exit::Code(NOT_FOUND)), _) => Err(rustix::io::Errno::NOENT.into()),
            (_, Some(last)) => Err(io::Error::other(last.to_owned())),
            (Some(exit), None) => {
                Err(io::Error::other(format!("the command over there ended with {exit}")))
            }
            (None, None) => Err(cut_short()),
        }
    }
}

impl Drop for Talk {
    /// A script that nobody listens to any more need not go on.
    fn drop(&mut self) {
        if self.exit.is_none() {
            let _ = self.process.signal(libc::SIGTERM);
        }
    }
}

/// The standard output of a script. It ends well only if the script does.
struct Output(Talk);

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let talk = &mut self.0;
        loop {
            if !talk.step(None)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match talk.output.as_mut().map(|output| output.read(buf)) {
                Some(Ok(0)) => talk.output = None,
                Some(Err(error)) if is_for_later(&error) => {}
                Some(read) => return read,
                None if talk.exit.is_some() => return talk.verdict().map(|()| 0),
                None => {}
            }
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
