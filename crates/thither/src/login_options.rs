//! The options of all hosts that one logs on to.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use thither_place::error::{printable, quoted};
use thither_remote::ssh::Secret;

use crate::address::Login;
use crate::connect::ConnectError;
use crate::options::Options;

/// The longest password, in bytes.
const LONGEST_PASSWORD: u64 = 4096;

/// Whether an option gives a password: see [`Options::password`].
pub(crate) fn is_password(key: &str) -> bool {
    matches!(key, "password-file" | "password-fd" | "ask-password")
}

impl Options<'_> {
    /// Of `username=`.
    pub(crate) fn username(self, value: &OsStr, login: &Login) -> Result<String, ConnectError> {
        let key = "username";
        let user = value.to_str().ok_or_else(|| self.bad(key, "it is not UTF-8"))?;
        if login.user.as_deref().is_some_and(|named| named != user) {
            return Err(self.bad(key, "the address names another user"));
        }
        Ok(user.to_owned())
    }

    /// Of `port=`.
    pub(crate) fn port(self, value: &OsStr, login: &Login) -> Result<u16, ConnectError> {
        let key = "port";
        let port = value.to_str().and_then(|text| text.parse().ok()).filter(|&port| port != 0);
        let port = port.ok_or_else(|| self.bad(key, "it is no port"))?;
        if login.port.is_some_and(|named| named != port) {
            return Err(self.bad(key, "the address names another port"));
        }
        Ok(port)
    }

    /// Of `password-file=`, `password-fd=` or `ask-password`; `address` is whose it is.
    pub(crate) fn password(
        self,
        key: &str,
        value: &OsStr,
        address: impl FnOnce() -> String,
    ) -> Result<Secret, ConnectError> {
        match key {
            "password-file" => {
                let source = File::open(value).and_then(|file| first_line(&file));
                source.map_err(|error| {
                    self.bad(key, format!("{}: {}", quoted(Path::new(value)), plain(&error)))
                })
            }
            "password-fd" => {
                let number = value.to_str().and_then(|text| text.parse::<u32>().ok());
                let number =
                    number.ok_or_else(|| self.bad(key, "it is no number of a descriptor"))?;
                let file = File::open(format!("/proc/self/fd/{number}"));
                let source = file.and_then(|file| first_line(&file));
                source.map_err(|error| {
                    self.bad(key, format!("descriptor {number}: {}", plain(&error)))
                })
            }
            _ => {
                let question = format!("Password of {}: ", printable(&address()));
                let answer = Secret::ask(&question);
                answer.map_err(|error| {
                    self.bad(key, format!("it cannot be asked for: {}", plain(&error)))
                })
            }
        }
    }

    pub(crate) fn seconds(self, key: &str, value: &OsStr) -> Result<Duration, ConnectError> {
        let seconds = value.to_str().and_then(|text| text.parse::<f64>().ok());
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.ok_or_else(|| self.bad(key, "it is no number of seconds"))
    }
}

/// A password: what stands before the first line end.
fn first_line(file: &File) -> io::Result<Secret> {
    let mut text = Vec::new();
    file.take(LONGEST_PASSWORD + 1).read_to_end(&mut text)?;
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let secret = Secret::new(line.strip_suffix(b"\r").unwrap_or(line));
    text.fill(0);
    match secret.expose().len() as u64 {
        0 => Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no password")),
        length if length > LONGEST_PASSWORD => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its first line is too long for a password",
        )),
        _ => Ok(secret),
    }
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
