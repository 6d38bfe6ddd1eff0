//! The options of hosts over ssh.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use thither_place::error::quoted;
use thither_remote::Ssh;
use thither_remote::ssh::{HostKeys, Native, Secret, Settings};

use crate::address::Login;
use crate::connect::ConnectError;
use crate::options::{Known, Options, Value, known};

/// The longest password, in bytes.
const LONGEST_PASSWORD: u64 = 4096;

/// What a host over ssh has besides what every place has.
pub(crate) const OF_SSH: &[Known] = &[
    known("identity", Value::Some("FILE")),
    known("use-native", Value::Some("true|false|automatic")),
    known("missing-host-key-policy", Value::Some("reject|autoadd|warning")),
    known("timeout", Value::Some("SECONDS")),
    known("keep-alive", Value::Some("SECONDS")),
    known("username", Value::Some("USER")),
    known("port", Value::Some("PORT")),
    known("password-file", Value::Some("FILE")),
    known("password-fd", Value::Some("NUMBER")),
    known("ask-password", Value::None),
];

impl Options<'_> {
    pub(crate) fn ssh(self, login: &Login) -> Result<Settings, ConnectError> {
        let mut settings = Settings {
            host: login.host.clone(),
            port: login.port,
            user: login.user.clone(),
            ..Settings::default()
        };
        for (key, value) in self.iter() {
            match key {
                "identity" => settings.identity = Some(value.into()),
                "use-native" => {
                    settings.native = match value.as_bytes() {
                        b"true" => Native::Yes,
                        b"false" => Native::No,
                        b"automatic" => Native::Automatic,
                        _ => return Err(self.bad(key, "it is none of these")),
                    }
                }
                "missing-host-key-policy" => {
                    settings.host_keys = Some(match value.as_bytes() {
                        b"reject" => HostKeys::Reject,
                        b"autoadd" => HostKeys::AutoAdd,
                        b"warning" => HostKeys::Warning,
                        _ => return Err(self.bad(key, "it is none of these")),
                    });
                }
                "timeout" => settings.timeout = Some(self.seconds(key, value)?),
                "keep-alive" => settings.keep_alive = Some(self.seconds(key, value)?),
                "username" => {
                    let user = value.to_str().ok_or_else(|| self.bad(key, "it is not UTF-8"))?;
                    if login.user.as_deref().is_some_and(|named| named != user) {
                        return Err(self.bad(key, "the address names another user"));
                    }
                    settings.user = Some(user.to_owned());
                }
                "port" => {
                    let port =
                        value.to_str().and_then(|text| text.parse().ok()).filter(|&port| port != 0);
                    let port = port.ok_or_else(|| self.bad(key, "it is no port"))?;
                    if login.port.is_some_and(|named| named != port) {
                        return Err(self.bad(key, "the address names another port"));
                    }
                    settings.port = Some(port);
                }
                "password-file" => {
                    let source = File::open(value).and_then(|file| first_line(&file));
                    settings.password = Some(source.map_err(|error| {
                        self.bad(key, format!("{}: {}", quoted(Path::new(value)), plain(&error)))
                    })?);
                }
                "password-fd" => {
                    let number = value.to_str().and_then(|text| text.parse::<u32>().ok());
                    let number =
                        number.ok_or_else(|| self.bad(key, "it is no number of a descriptor"))?;
                    let file = File::open(format!("/proc/self/fd/{number}"));
                    let source = file.and_then(|file| first_line(&file));
                    settings.password = Some(source.map_err(|error| {
                        self.bad(key, format!("descriptor {number}: {}", plain(&error)))
                    })?);
                }
                "ask-password" => {
                    let question = format!(
                        "Password of {}: ",
                        thither_place::error::printable(&Ssh::from(settings.clone()).address())
                    );
                    let answer = Secret::ask(&question);
                    settings.password = Some(answer.map_err(|error| {
                        self.bad(key, format!("it cannot be asked for: {}", plain(&error)))
                    })?);
                }
                _ => {}
            }
        }
        Ok(settings)
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
