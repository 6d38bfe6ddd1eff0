//! A Docker engine beyond a hop.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thither_docker::Engine;
use thither_docker::dial::Dial;
use thither_docker::settings::{Host, Settings};
use thither_place::{Command, Endpoint, Place, connect};

use super::Outer;
use crate::connect::ConnectError;
use crate::options::Options;

/// Where an engine listens unless it is told otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// How long an engine may take to say that it is one.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request that every engine answers, and how the answer begins.
const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
const PONG: &[u8] = b"HTTP/1.";

/// What the options say of an engine over there. What the user has set for this machine does not count.
pub(super) fn settings(options: Options<'_>) -> Result<Settings, ConnectError> {
    if options.iter().any(|(key, _)| key == "context") {
        return Err(
            options.bad("context", "contexts are of this machine, and the engine is beyond a hop")
        );
    }
    options.settings_with(Some(SOCKET))
}

/// The engine there.
pub(super) fn engine(outer: &Outer, settings: &Settings) -> Engine {
    let to = match &settings.host {
        Host::Unix(path) => Endpoint::Unix(path.clone()),
        Host::Tcp { host, port } => Endpoint::Tcp { host: host.clone(), port: *port },
    };
    let name = format!("{}|{}", outer.address, settings.host);
    let (place, known) = (outer.place.clone(), OnceLock::<Way>::new());
    let open = move || {
        if let Some(way) = known.get() {
            return way(place.as_ref(), &to);
        }
        let mut failed = None;
        for way in WAYS {
            match way(place.as_ref(), &to).and_then(answers) {
                Ok(()) => return known.get_or_init(|| way)(place.as_ref(), &to),
                Err(error) => {
                    tracing::debug!(%error, "a way to the engine does not lead there");
                    // The first one is the usual one.
                    failed.get_or_insert(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| io::ErrorKind::NotConnected.into()))
    };
    Engine::new(name, Dial::Stream(Arc::new(open)))
}

type Way = fn(&dyn Place, &Endpoint) -> io::Result<OwnedFd>;

/// The ways, best first.
const WAYS: [Way; 3] = [
    |place, to| place.connect(to).map_err(cause),
    |place, _| {
        connect::through(place, &Command::new("docker").args(["system", "dial-stdio"]))
            .map_err(cause)
    },
    |place, to| connect::by_command(place, to).map_err(cause),
];

/// An error of a place as one of a stream.
fn cause(error: thither_place::Error) -> io::Error {
    let text = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    io::Error::other(text)
}

/// Whether an engine is at the other end.
fn answers(stream: OwnedFd) -> io::Result<()> {
    let mut stream = std::fs::File::from(stream);
    let nobody = || io::Error::new(io::ErrorKind::ConnectionRefused, "no engine answers there");
    stream.write_all(PING).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => nobody(),
        _ => error,
    })?;
    let mut answer = Vec::new();
    while answer.len() < PONG.len() {
        let mut fds = [PollFd::new(&stream, PollFlags::IN)];
        let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut chunk = [0; 64];
        match stream.read(&mut chunk)? {
            0 => return Err(nobody()),
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    match answer.starts_with(PONG) {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there is no engine")),
    }
}
