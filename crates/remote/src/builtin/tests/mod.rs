//! Against Debian's sshd on loopback. Each test has a home folder of its own, with the server's key known and nothing else.

mod commands;
mod streams;
mod faults;
mod stuck;
mod users;
mod tunnels;

use std::error::Error as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Sshd, ssh_user};
use thither_place::{Command, Error, Exit, Output, Stream};

use super::*;
use crate::ssh::Settings;

/// A server, and a user here.
pub(super) struct World {
    pub(super) sshd: Sshd,
    pub(super) user: String,
    home: TempDir,
}

/// `let world = world!();`, or with lines for the server's configuration.
macro_rules! world {
    ($($lines:expr)?) => {
        match $crate::builtin::tests::World::new(concat!($($lines)?)) {
            Ok(world) => world,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}
pub(super) use world;

impl World {
    pub(super) fn new(options: &str) -> Result<World, String> {
        let sshd = Sshd::options(options)?;
        let user = ssh_user("sh")?;
        let home = tempfile::tempdir().expect("a temporary folder");
        let world = World { sshd, user, home };
        fs::create_dir(world.ssh()).expect("a folder");
        world.know(world.sshd.address(), &world.sshd.host_key());
        Ok(world)
    }

    pub(super) fn ssh(&self) -> PathBuf {
        self.home.path().join(".ssh")
    }

    pub(super) fn known_hosts(&self) -> PathBuf {
        self.ssh().join("known_hosts")
    }

    /// Makes this key the only one that is known.
    pub(super) fn know(&self, at: SocketAddr, key: &str) {
        fs::write(self.known_hosts(), format!("[{}]:{} {key}\n", at.ip(), at.port()))
            .expect("known_hosts");
    }

    pub(super) fn here(&self) -> Here {
        Here {
            user: Some("nobody".into()),
            home: Some(self.home.path().into()),
            agent: None,
            known_hosts: self.home.path().join("ssh_known_hosts"),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            host: "127.0.0.1".into(),
            port: Some(self.sshd.port()),
            user: Some(self.user.clone()),
            identity: Some(self.sshd.identity()),
            ..Settings::default()
        }
    }

    pub(super) fn with(&self, settings: &Settings) -> Builtin {
        Builtin::with(settings, "ssh:test", &self.here())
    }

    pub(super) fn place(&self) -> Builtin {
        self.with(&self.settings())
    }
}

pub(super) fn line(text: &str) -> Request {
    Request { line: Some(text.into()), ..Request::default() }
}

/// A command of which only the streams count: empty input, piped outputs.
pub(super) fn piped() -> Command {
    Command::new("x").stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Piped)
}

pub(super) fn run(place: &Builtin, text: &str) -> Output {
    place.spawn(line(text), None, &piped()).and_then(Process::wait_with_output).unwrap_or_else(
        |error| {
            panic!("{text}: {}", chain(&error));
        },
    )
}

/// An error with its causes and its hint.
pub(super) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    match error.hint() {
        Some(hint) => text + " | " + hint,
        None => text,
    }
}

/// What a place says that cannot be entered, within the deadline.
#[track_caller]
pub(super) fn refusal(place: Builtin) -> String {
    testkit::within_deadline("an error", move || match place.spawn(line("true"), None, &piped()) {
        Ok(_) => panic!("it was entered"),
        Err(error) => chain(&error),
    })
}

/// Reads signals for the process group whose leader has the token `$t` in its command line.
const GUARD: &str = r#"k() { for p in $(grep -lsF -e "$t" /proc/[0-9]*/cmdline | cut -d/ -f3); do
    kill -s "$1" -- "-$p" 2>/dev/null; done; }
    while read -r s; do if [ "$s" = done ]; then exit; fi; k "$s"; done; k KILL"#;

/// A line that can be guarded, as the shell that leads its group stays; and its guard, which does not hold the token in
/// one piece.
pub(super) fn guarded(world: &World, text: &str) -> (Request, Option<Guard>) {
    let (one, two) = ("token-", world.sshd.port());
    let request = line(&format!(": {one}{two}; {text}; exit $?"));
    let guard = format!("t={one}; t=${{t}}{two}; {GUARD}");
    (request, Some(Guard { line: guard.into(), always: false }))
}

pub(super) fn succeeded(stdout: &str) -> Output {
    Output { exit: Exit::Code(0), stdout: stdout.into(), stderr: Vec::new() }
}
