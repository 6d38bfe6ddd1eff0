//! What all of these tests need.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use testkit::{DEADLINE, Pipe, Smbd, within_deadline};
use thither_place::launch::Fresh;
use thither_place::local::spawn_in_session;
use thither_place::wire::Request;
use thither_place::wire::frame::LONGEST_REQUEST;
use thither_place::wire::session::{self, Goodbye, Limits};
use thither_place::{Command, Error, Output, Place, Process};
use thither_remote::smb::{Settings, Smb};
use thither_remote::ssh::Secret;

/// A server of the test's own, or a skip: `host!()`, `host!("server smb encrypt = required")` with lines of smb.conf(5).
macro_rules! host {
    () => {
        host!("")
    };
    ($lines:expr) => {
        match crate::common::Host::new($lines) {
            Ok(host) => host,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

pub(crate) use host;

/// A server.
pub(crate) struct Host {
    pub(crate) smbd: Smbd,
}

impl Host {
    pub(crate) fn new(lines: &str) -> Result<Host, String> {
        Ok(Host { smbd: Smbd::options(lines)? })
    }

    /// With the right user and password.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            host: "127.0.0.1".into(),
            port: Some(self.smbd.port()),
            username: Some(self.smbd.user().into()),
            password: Some(Secret::new(self.smbd.password())),
            ..Settings::default()
        }
    }

    pub(crate) fn place(&self) -> Smb {
        Smb::from(self.settings())
    }

    /// Serves the pipe `thither` as the product's service would.
    pub(crate) fn serves(self) -> Host {
        let pipe = self.smbd.pipe("thither");
        each(pipe, |stream| serve(stream.into()));
        self
    }
}

/// Does this with each client, in a thread of its own, until the pipe's server is gone.
pub(crate) fn each(pipe: Pipe, work: impl Fn(UnixStream) + Clone + Send + 'static) {
    thread::spawn(move || {
        while let Ok(stream) = pipe.accept() {
            let work = work.clone();
            thread::spawn(move || work(stream));
        }
    });
}

/// smbd drops what it has not passed on when it learns of our end.
const GOODBYE: Goodbye = Goodbye::Theirs(DEADLINE);

fn serve(stream: OwnedFd) {
    let (end, _stays) = io::pipe().unwrap();
    let limits = Limits { greeting: DEADLINE, request: LONGEST_REQUEST };
    let served = match session::receive(&stream, &limits, end.as_fd()) {
        Ok(Request::Spawn(spawn)) => {
            let variables = std::env::vars_os();
            spawn_in_session(&session::command(spawn), Path::new("/"), variables, Fresh::default())
        }
        Ok(Request::Unix { path }) => {
            let path = PathBuf::from(String::from_utf8(path).unwrap());
            let socket = UnixStream::connect(path).unwrap();
            Ok((session::of_stream(socket.into()).unwrap(), 0))
        }
        // A client that says nothing.
        other => return drop(other),
    };
    match served {
        Ok((process, pid)) => {
            drop(session::serve_until(stream, process, pid, end.as_fd(), GOODBYE));
        }
        Err(error) => session::refuse_until(&stream, &session::refusal_of(&error), GOODBYE),
    }
}

pub(crate) fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// What a command says, and how it ends.
#[track_caller]
pub(crate) fn output(place: &Smb, command: &Command) -> Output {
    let (place, command) = (place.clone(), command.clone());
    within_deadline("a command's end", move || place.output(&command))
        .unwrap_or_else(|error| panic!("{}", told(&error)))
}

/// The error of a host that cannot be entered.
#[track_caller]
pub(crate) fn refused(place: &Smb) -> String {
    let place = place.clone();
    let result = within_deadline("a refusal", move || place.spawn(&sh("true")).map(drop));
    let told = told(&result.expect_err("it should not let us in"));
    // Ports differ.
    let mut text = String::new();
    let mut rest = told.as_str();
    while let Some(i) = rest.find("127.0.0.1:") {
        let (before, port) = rest.split_at(i + "127.0.0.1".len());
        text += before;
        rest = port[1..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    text + rest
}

/// An error with its causes and its hint.
pub(crate) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        let _ = write!(text, "; hint: {hint}");
    }
    text
}

/// How a process ends.
#[track_caller]
pub(crate) fn end(mut process: Process) -> String {
    let ended = within_deadline("the end of the process", move || process.wait());
    ended.map_or_else(|error| told(&error), |exit| format!("{exit:?}"))
}

/// A server that does this with its first client.
pub(crate) fn scripted(work: impl FnOnce(TcpStream) + Send + 'static) -> Smb {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || work(listener.accept().unwrap().0));
    Smb::from(Settings {
        host: "127.0.0.1".into(),
        port: Some(port),
        username: Some("ann".into()),
        password: Some(Secret::new("secret")),
        timeout: Some(Duration::from_secs(2)),
        ..Settings::default()
    })
}
