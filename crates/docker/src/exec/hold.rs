//! A program that a shell holds back until its terminal has its size: see [`shim`](crate::shim).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use thither_place::WindowSize;
use thither_term::{Interest, poll};

use super::{Exec, refused};
use crate::error::Error;
use crate::target;

/// How long a program that runs may take to say so.
const STARTING: Duration = Duration::from_secs(30);
/// How long the echo of what we have typed may take, which comes at once.
const ECHO: Duration = Duration::from_secs(2);

impl Exec {
    /// Applies the size, and then types the line that the shell waits for. The engine applies it once the shell runs.
    pub(super) fn let_loose(
        &self,
        socket: &OwnedFd,
        size: WindowSize,
        cancel: Option<BorrowedFd<'_>>,
    ) -> thither_place::Result<()> {
        let failed = |error: Error| error.at(&self.place, None);
        let here = |source| {
            let action = "wait until the command runs";
            Error::Here { action, source }.at(&self.place, Some("start the command"))
        };
        let resizing = self.target().resize(size, cancel).map_err(failed)?;
        // What comes before the answer is why there is no shell, or its end.
        let given_up = cancel.map_or(Interest::Nothing, Interest::Read);
        let interests =
            [Interest::Read(resizing.as_fd()), Interest::Read(socket.as_fd()), given_up];
        let ready = poll(&interests, Some(STARTING)).map_err(here)?;
        match ready[..] {
            // The engine refuses where nothing has come to run; its excuse may come after.
            [resized, ..] if resized.now && resizing.answer(cancel).is_ok() => {}
            [resized, said, _] if resized.now || said.now => {
                let state = target::exec_state(&self.engine, &self.id).map_err(failed)?;
                if !state.running && state.pid == 0 {
                    let said = said_at_start(socket).map_err(here)?;
                    return Err(refused(&self.place, "sh", &said));
                }
            }
            [_, _, given_up] if given_up.now => return Err(failed(Error::Cancelled)),
            _ => {
                let patience = self.engine.patience(None);
                let silent = self.engine.error(crate::http::Trouble::Silent, patience);
                return Err(failed(silent));
            }
        }
        type_line(socket).map_err(here)
    }
}

/// Types what ends a shell that waits for an empty line, now or when it comes to run.
pub(super) fn give_up(socket: &OwnedFd) {
    let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
    // One that is gone needs none.
    let _ = rustix::net::send(socket, b"q\n", flags);
}

/// Types an empty line and takes its echo away: the modes are the default ones, and nothing else has been printed.
pub(crate) fn type_line(socket: &OwnedFd) -> io::Result<()> {
    match rustix::net::send(socket, b"\n", rustix::net::SendFlags::NOSIGNAL) {
        // It has ended; its stream says so.
        Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {}
        Err(error) => return Err(error.into()),
    }
    let deadline = Instant::now() + ECHO;
    for expected in [b"\r", b"\n"] {
        loop {
            let mut byte = [0];
            match recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                // A terminal without ONLCR echoes the line end alone.
                Ok((1, _)) if byte == *expected || byte == *b"\n" => {
                    recv(socket, &mut byte, RecvFlags::DONTWAIT)?;
                    if byte == *b"\n" {
                        return Ok(());
                    }
                    break;
                }
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !poll(&[Interest::Read(socket.as_fd())], Some(left))?[0].now {
                        return Ok(());
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What the engine says in the place of output.
fn said_at_start(socket: &OwnedFd) -> io::Result<String> {
    poll(&[Interest::Read(socket.as_fd())], Some(ECHO))?;
    let mut bytes = [0; 4096];
    let n = recv(socket, &mut bytes, RecvFlags::DONTWAIT).map_or(0, |(n, _)| n);
    Ok(String::from_utf8_lossy(&bytes[..n]).trim().to_owned())
}
