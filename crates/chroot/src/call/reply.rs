//! What comes back of a call.
//!
//! On the wire, a stream that ends after it: one byte for its kind, the length of its content as 8 bytes in native order,
//! and its content. The other end is code of this program, but it may have forked, and in a root there are others: so
//! exactly one reply is read, with a limit.

use std::any::Any;
use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thither_place::error::printable;
use thither_place::launch::{Failure, Step};
use thither_place::{Exit, Process};

use super::CallError;
use crate::place::Entered;

/// The kind and the length.
const HEADER: usize = 9;

/// The longest value, in bytes as encoded.
const LONGEST: u64 = 1 << 30;

/// What a process says of its function.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Its value, encoded.
    Value(Vec<u8>),
    /// What its panic said.
    Panic(String),
    /// Why its arguments could not be decoded.
    Arguments(String),
    /// Why its value could not be encoded.
    Encoding(String),
    /// The step before it that failed.
    Failed(Failure),
    /// Nothing.
    Nothing,
}

/// Receives a function's reply and waits for the end of its process; what is left inside ends too.
pub(super) fn take<T: DeserializeOwned>(
    from: io::Result<File>,
    mut process: Process,
    entered: &Entered<'_>,
    function: &'static str,
) -> Result<T, CallError> {
    // Closed before the end is waited for: a process that has more to say than is taken would wait for us.
    let reply = from.and_then(|mut from| Reply::receive(&mut from));
    let exit = process.wait()?;
    let reply = reply.map_err(|source| CallError::Value {
        action: "receive",
        what: "the value",
        function,
        source: Box::new(source),
    })?;
    reply.value(function, exit, |failure| entered.error(failure))
}

/// Runs a function and encodes what comes of it.
pub(super) fn run<T: Serialize>(function: impl FnOnce() -> T) -> Reply {
    // This process is for the function alone, so the hook is nobody else's.
    let message = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&message);
    std::panic::set_hook(Box::new(move |info| {
        let text = payload(info.payload());
        let text = match info.location() {
            Some(location) => format!("{text} (at {location})"),
            None => text,
        };
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
    match catch_unwind(AssertUnwindSafe(|| rmp_serde::to_vec_named(&function()))) {
        Ok(Ok(value)) => Reply::Value(value),
        Ok(Err(error)) => Reply::Encoding(error.to_string()),
        Err(panic) => {
            let heard = message.lock().unwrap_or_else(PoisonError::into_inner).take();
            Reply::Panic(heard.unwrap_or_else(|| payload(&*panic)))
        }
    }
}

fn payload(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".into())
}

impl Reply {
    /// Sends it; its end is the end of the stream.
    pub(super) fn send(&self, to: &mut File) -> io::Result<()> {
        let failure;
        let (kind, content) = match self {
            Reply::Value(value) => (b'v', value.as_slice()),
            Reply::Panic(text) => (b'p', text.as_bytes()),
            Reply::Arguments(text) => (b'a', text.as_bytes()),
            Reply::Encoding(text) => (b'e', text.as_bytes()),
            Reply::Failed(Failure { step, errno, .. }) => {
                failure = [&[step.0][..], &errno.raw_os_error().to_ne_bytes()].concat();
                (b'f', failure.as_slice())
            }
            Reply::Nothing => return Ok(()),
        };
        to.write_all(&[&[kind][..], &(content.len() as u64).to_ne_bytes()].concat())?;
        to.write_all(content)
    }

    /// Receives one.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than any should be.
    fn receive(from: &mut File) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        let length = match from.take(LONGEST + 1).read_to_end(&mut bytes) {
            // It was killed with some of its request unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            other => other?,
        };
        if length as u64 > LONGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 GiB"));
        }
        if bytes.is_empty() {
            return Ok(Reply::Nothing);
        }
        let no_reply = || io::Error::new(io::ErrorKind::InvalidData, "it is no reply");
        let (header, content) = bytes.split_at_checked(HEADER).ok_or_else(no_reply)?;
        let (kind, length) = (header[0], (content.len() as u64).to_ne_bytes());
        if header[1..] != length {
            return Err(no_reply());
        }
        let text = || String::from_utf8_lossy(content).into_owned();
        Ok(match (kind, content) {
            (b'v', _) => {
                bytes.drain(..HEADER);
                Reply::Value(bytes)
            }
            (b'p', _) => Reply::Panic(text()),
            (b'a', _) => Reply::Arguments(text()),
            (b'e', _) => Reply::Encoding(text()),
            (b'f', &[step, a, b, c, d]) => {
                let errno = Errno::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
                Reply::Failed(Failure { step: Step(step), index: 0, errno })
            }
            _ => return Err(no_reply()),
        })
    }

    /// The value, or why there is none; `failed` says what a step that failed means.
    fn value<T: DeserializeOwned>(
        self,
        function: &'static str,
        exit: Exit,
        failed: impl FnOnce(Failure) -> thither_place::Error,
    ) -> Result<T, CallError> {
        let cannot = |action, what, source: Box<dyn std::error::Error + Send + Sync>| {
            CallError::Value { action, what, function, source }
        };
        Err(match self {
            Reply::Value(bytes) => {
                return rmp_serde::from_slice(&bytes)
                    .map_err(|error| cannot("decode", "the value", Box::new(error)));
            }
            Reply::Panic(message) => {
                CallError::Panicked { function, message: printable(&message).to_string() }
            }
            Reply::Arguments(text) => cannot("decode", "the arguments", text.into()),
            Reply::Encoding(text) => cannot("encode", "the value", text.into()),
            Reply::Failed(failure) => CallError::Place(failed(failure)),
            Reply::Nothing => CallError::Ended { function, exit },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: Reply) {
        let (read, write) = io::pipe().unwrap();
        let [mut read, mut write] =
            [std::os::fd::OwnedFd::from(read), write.into()].map(File::from);
        reply.send(&mut write).unwrap();
        drop(write);
        assert_eq!(Reply::receive(&mut read).unwrap(), reply);
    }

    #[test]
    fn round_trips() {
        check(Reply::Value(vec![1, 2]));
        check(Reply::Value(Vec::new()));
        check(Reply::Panic("x".into()));
        check(Reply::Arguments("y".into()));
        check(Reply::Encoding("z".into()));
        check(Reply::Failed(Failure { step: Step(5), index: 0, errno: Errno::NOENT }));
        check(Reply::Nothing);
    }

    #[test]
    fn rubbish_is_no_reply() {
        let one = [&b"v"[..], &1u64.to_ne_bytes(), b"1"].concat();
        let twice = [&one[..], &one].concat();
        for rubbish in [&b"x"[..], b"f123", b"v12345678", b"x\0\0\0\0\0\0\0\0", &twice] {
            let (read, mut write) = io::pipe().unwrap();
            write.write_all(rubbish).unwrap();
            drop(write);
            let mut read = File::from(std::os::fd::OwnedFd::from(read));
            let error = Reply::receive(&mut read).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
