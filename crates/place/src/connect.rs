//! Byte streams to sockets over there.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use thither_term::{Interest, poll};

use crate::error::printable;
use crate::{Command, Error, Place, Result, Stream};

/// How long what connects over there may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest complaint that is read, in bytes.
const LONGEST: u64 = 4096;
/// What is said once the stream is there.
const READY: u8 = b'+';

/// A socket over there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Who listens on this TCP port, by the names and networks of the place.
    Tcp {
        /// A name or an IP address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// Who listens on this Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// As [`Place::connect`], by what is found over there: Python, socat or nc.
///
/// # Errors
/// As [`Place::connect`].
pub fn by_command<P: Place + ?Sized>(place: &P, to: &Endpoint) -> Result<OwnedFd> {
    let here = |source: std::io::Error| failed(to, source);
    let (complaints, stderr) = std::io::pipe().map_err(here)?;
    let ours = joined(place, &command(to).stderr(Stream::Fd(Arc::new(stderr.into()))), &here)?;
    let ready = poll(&[Interest::Read(ours.as_fd())], Some(PATIENCE)).map_err(here)?;
    if !ready[0].now && !ready[0].hang_up {
        return Err(here(std::io::ErrorKind::TimedOut.into()));
    }
    let mut first = [0];
    match rustix::io::read(&ours, &mut first) {
        Ok(1) if first[0] == READY => Ok(ours),
        _ => {
            drop(ours);
            let mut text = Vec::new();
            // What it says ends with it; what holds it open longer is not waited for.
            let mut complaints = File::from(OwnedFd::from(complaints)).take(LONGEST);
            while poll(
                &[Interest::Read(complaints.get_ref().as_fd())],
                Some(Duration::from_secs(1)),
            )
            .is_ok_and(|ready| ready[0].now || ready[0].hang_up)
            {
                let mut chunk = [0; 512];
                match complaints.read(&mut chunk) {
                    Ok(n) if n > 0 => text.extend_from_slice(&chunk[..n]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&text);
            let said = text.lines().rfind(|line| !line.trim().is_empty());
            Err(here(std::io::Error::other(match said {
                Some(line) => printable(line.trim()),
                None => "nobody answered".to_owned(),
            })))
        }
    }
}

/// The standard input and output of a command as one stream. It ends with the stream, and the stream with it.
///
/// # Errors
/// As [`Place::spawn`].
pub fn through<P: Place + ?Sized>(place: &P, command: &Command) -> Result<OwnedFd> {
    let here = |source| Error::Copy {
        action: format!("run {}", crate::error::quoted(command.name())),
        source: Box::new(source),
        hint: None,
    };
    joined(place, &command.clone().stderr(Stream::Null), &here)
}

fn joined<P: Place + ?Sized>(
    place: &P,
    command: &Command,
    here: &dyn Fn(std::io::Error) -> Error,
) -> Result<OwnedFd> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|error| here(error.into()))?;
    let theirs = Arc::new(theirs);
    let command = command.clone().stdin(Stream::Fd(theirs.clone())).stdout(Stream::Fd(theirs));
    let mut process = place.spawn(&command)?;
    drop(command);
    // Until it ends somebody has to hold it, and to move its streams where the place has frames.
    thread::Builder::new()
        .name("stream".into())
        .spawn(move || drop(process.wait()))
        .map_err(here)?;
    Ok(ours)
}

fn failed(to: &Endpoint, source: std::io::Error) -> Error {
    Error::Copy {
        action: format!("connect to {}", crate::error::quoted(to.to_string())),
        source: Box::new(source),
        hint: None,
    }
}

fn command(to: &Endpoint) -> Command {
    let words = match to {
        Endpoint::Tcp { host, port } => [host.into(), port.to_string().into()],
        Endpoint::Unix(path) => ["".into(), path.as_os_str().to_owned()],
    };
    Command::new("sh")
        .args(["-c", include_str!("connect.sh"), "sh", include_str!("connect.py")])
        .args(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Local;
    use std::error::Error as _;
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    /// Both directions, and the end of one before the other.
    #[track_caller]
    fn check(to: &Endpoint, accept: impl FnOnce() -> File + Send + 'static) {
        let server = thread::spawn(move || {
            let mut stream = accept();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).unwrap();
            stream.write_all(&text).unwrap();
            stream.write_all(b", it said").unwrap();
        });
        let mut stream = File::from(Local.connect(to).unwrap());
        let long = vec![b'x'; 300_000];
        stream.write_all(&long).unwrap();
        rustix::net::shutdown(&stream, rustix::net::Shutdown::Write).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        assert!(text == [&long[..], b", it said"].concat());
        server.join().unwrap();
    }

    #[test]
    fn streams() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Endpoint::Tcp { host: "127.0.0.1".into(), port: tcp.local_addr().unwrap().port() };
        check(&to, move || File::from(OwnedFd::from(tcp.accept().unwrap().0)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a 'socket");
        let unix = UnixListener::bind(&path).unwrap();
        check(&Endpoint::Unix(path), move || File::from(OwnedFd::from(unix.accept().unwrap().0)));
    }

    #[test]
    fn nobody_there() {
        let folder = tempfile::tempdir().unwrap();
        let error = Local.connect(&Endpoint::Unix(folder.path().join("none"))).unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(source.contains("No such file or directory"), "{source}");
    }
}
