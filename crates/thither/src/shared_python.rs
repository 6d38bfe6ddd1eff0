//! The interpreter of a daemon that all of its clients share.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use thither_place::state::StateFolder;
use thither_place::{Command, Event, Local, Place, Process, Stream};
use thither_python::AGENT;
use thither_remote::daemon::serve::{Interpreter, OURS};

use crate::place_ext::{INTERPRETERS, TOKEN};

/// How long an interpreter may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one that listens may take to accept.
const ACCEPTS: Duration = Duration::from_secs(10);

/// The name of its socket, before our process id and `.sock`.
const PREFIX: &str = "daemon-python-";

/// Reads the agent from its input, whose end is also its own end, and serves it. Its output says once that it listens. What is typed at
/// the daemon's terminal, such as ^C, is none of its business.
const LAUNCH: &str = "\
import os, sys, threading, types
os.setsid()
path, token, length = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
source = sys.stdin.buffer.read(length)
agent = types.ModuleType('thither_agent')
sys.modules['thither_agent'] = agent
exec(compile(source, 'thither_agent', 'exec'), agent.__dict__)
def watch():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
def ready(address):
    os.write(1, b'.')
    os.dup2(2, 1)
sys.argv = ['']
main = types.ModuleType('__main__')
sys.modules['__main__'] = main
agent.serve(path, token, namespace=main.__dict__, ready=ready, output=True)
";

/// What connects to the interpreter that all share: one of these programs, or `python3`, else `python`. It is started when it is first
/// wanted, and again, without what it knew, if it has ended; it ends with the last handle.
#[must_use]
pub fn shared_interpreter(program: Option<PathBuf>) -> Arc<Interpreter> {
    let running = Mutex::new(None);
    Arc::new(move || {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended is let go of.
        if running.as_mut().is_some_and(Running::has_ended) {
            *running = None;
        }
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(Running::start(program.as_ref())?),
        };
        running.connect()
    })
}

struct Running {
    process: Process,
    path: PathBuf,
    /// Its input, whose end ends it.
    _input: OwnedFd,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Running {
    fn start(program: Option<&PathBuf>) -> io::Result<Running> {
        let path = socket()?;
        let mut missing = None;
        let programs: Vec<PathBuf> = match program {
            Some(program) => vec![program.clone()],
            None => INTERPRETERS.iter().map(PathBuf::from).collect(),
        };
        for program in programs {
            let token: String = TOKEN.iter().map(|byte| format!("{byte:02x}")).collect();
            let command = Command::new(&program)
                .args(["-c".into(), LAUNCH.into(), path.clone().into_os_string()])
                .args([token, AGENT.len().to_string()])
                .dir(home())
                .stdin(Stream::Piped)
                .stdout(Stream::Piped);
            let command = OURS.iter().fold(command, |command, name| command.env_remove(*name));
            match Local.spawn(&command) {
                Ok(process) => return Running::ready(process, path),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let text = format!("{error}: {}", cause.unwrap_or_default());
                    missing = Some(io::Error::other(text));
                }
            }
        }
        Err(missing.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn ready(mut process: Process, path: PathBuf) -> io::Result<Running> {
        let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let input = process.stdin.take().ok_or_else(no_pipe)?;
        let output = process.stdout.take().ok_or_else(no_pipe)?;
        let deadline = Instant::now() + PATIENCE;
        rustix::io::ioctl_fionbio(&input, true)?;
        let mut agent = AGENT.as_bytes();
        while !agent.is_empty() {
            wait_for(PollFd::new(&input, PollFlags::OUT), deadline)?;
            match rustix::io::write(&input, agent) {
                Ok(written) => agent = &agent[written..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        wait_for(PollFd::new(&output, PollFlags::IN), deadline)?;
        match rustix::io::retry_on_intr(|| rustix::io::read(&output, &mut [0]))? {
            0 => Err(io::Error::other("the interpreter ended before it listened")),
            _ => Ok(Running { process, path, _input: input }),
        }
    }

    /// A connection to it. One that accepts nobody is not waited for for ever.
    fn connect(&self) -> io::Result<OwnedFd> {
        let deadline = Instant::now() + ACCEPTS;
        let address = SocketAddrUnix::new(&self.path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            match connect(&socket, &address) {
                Ok(()) => {
                    rustix::io::ioctl_fionbio(&socket, false)?;
                    return Ok(socket);
                }
                // Nothing tells when there is room in its backlog, unix(7).
                Err(Errno::AGAIN) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.process.control.event(), Ok(None | Some(Event::Stopped(_))))
    }
}

/// Where everything begins that a daemon runs.
fn home() -> PathBuf {
    std::env::home_dir().filter(|home| home.is_dir()).unwrap_or_else(|| "/".into())
}

/// Until it is ready, however it is.
fn wait_for(fd: PollFd<'_>, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let mut fds = [fd];
    match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// The path of its socket. Those that others have left, killed perhaps, are removed.
fn socket() -> io::Result<PathBuf> {
    let folder = loop {
        if let Some(folder) = StateFolder::open()? {
            break folder.path;
        }
    };
    for entry in std::fs::read_dir(&folder)?.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        let refused = || {
            let error = UnixStream::connect(entry.path()).err();
            error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if is_ours && refused() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(folder.join(format!("{PREFIX}{}.sock", std::process::id())))
}
