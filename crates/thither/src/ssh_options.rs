//! The options of hosts over ssh.

use std::os::unix::ffi::OsStrExt;

use thither_remote::Ssh;
use thither_remote::ssh::{HostKeys, Native, Settings};

use crate::address::Login;
use crate::connect::ConnectError;
use crate::login_options::is_password;
use crate::options::{Known, Options, Value, known};

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
                "username" => settings.user = Some(self.username(value, login)?),
                "port" => settings.port = Some(self.port(value, login)?),
                _ if is_password(key) => {
                    let address = || Ssh::from(settings.clone()).address();
                    settings.password = Some(self.password(key, value, address)?);
                }
                _ => {}
            }
        }
        Ok(settings)
    }
}
