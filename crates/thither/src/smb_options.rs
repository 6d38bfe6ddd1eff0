//! The options of hosts over SMB.

use std::os::unix::ffi::OsStrExt;

use thither_remote::Smb;
use thither_remote::smb::{Compat, Encrypt, Settings};

use crate::address::{Address, Login, Target};
use crate::connect::ConnectError;
use crate::hops;
use crate::login_options::is_password;
use crate::options::{Known, Options, Value, known};

/// What a host over SMB has besides what every place has.
pub(crate) const OF_SMB: &[Known] = &[
    known("username", Value::Some("[DOMAIN\\]USER")),
    known("domain", Value::Some("DOMAIN")),
    known("port", Value::Some("PORT")),
    known("password-file", Value::Some("FILE")),
    known("password-fd", Value::Some("NUMBER")),
    known("ask-password", Value::None),
    known("pipe", Value::Some("NAME")),
    known("compat", Value::Some("pushy")),
    known("encrypt", Value::Some("require|prefer|off")),
    known("timeout", Value::Some("SECONDS")),
];

impl Options<'_> {
    pub(crate) fn smb(self, login: &Login) -> Result<Smb, ConnectError> {
        let mut settings = Settings {
            host: login.host.clone(),
            port: login.port,
            username: login.user.clone(),
            ..Settings::default()
        };
        for (key, value) in self.iter() {
            match key {
                "username" => settings.username = Some(self.username(value, login)?),
                "domain" => settings.domain = Some(self.text(key, value)?),
                "port" => settings.port = Some(self.port(value, login)?),
                "pipe" => settings.pipe = Some(self.text(key, value)?),
                "compat" => {
                    settings.compat = match value.as_bytes() {
                        b"pushy" => Compat::Pushy,
                        _ => return Err(self.bad(key, "it is none of these")),
                    }
                }
                "encrypt" => {
                    settings.encrypt = match value.as_bytes() {
                        b"require" => Encrypt::Require,
                        b"prefer" => Encrypt::Prefer,
                        b"off" => Encrypt::Off,
                        _ => return Err(self.bad(key, "it is none of these")),
                    }
                }
                "timeout" => settings.timeout = Some(self.seconds(key, value)?),
                _ if is_password(key) => {
                    let address = || Smb::from(settings.clone()).address();
                    settings.password = Some(self.password(key, value, address)?);
                }
                _ => {}
            }
        }
        Ok(Smb::from(settings))
    }
}

impl Address {
    /// The host that it leads to, as itself: for what is no verb of a place, such as
    /// [`install`](thither_remote::smb::install::install). Options of commands (`dir`, `env`) count for nothing.
    ///
    /// # Errors
    /// As [`connect`](Address::connect), and when it leads to anything else than a host over SMB.
    pub fn smb(&self) -> Result<Smb, ConnectError> {
        let address = self.resolved()?;
        let no_way = || ConnectError::NoWay { hop: address.without_options().to_string() };
        let (last, before) = address.hops().split_last().ok_or_else(no_way)?;
        let Target::Smb(login) = last.target() else { return Err(no_way()) };
        let smb = Options::of(last, OF_SMB)?.smb(login)?;
        Ok(match before {
            [] => smb,
            _ => {
                let outer = hops::connect(before)?;
                smb.through(move |to| outer.connect(to))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is said about the host of an address.
    fn settings(address: &str) -> Result<Settings, String> {
        let address = Address::parse(address).unwrap();
        let hop = &address.hops()[0];
        let Target::Smb(login) = hop.target() else { panic!("{address}") };
        let smb = Options::of(hop, OF_SMB).and_then(|options| options.smb(login));
        smb.map(|smb| smb.settings().clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_settings() {
        let given = settings(
            "smb:ann@web:4450?domain=OFFICE&pipe=x&compat=pushy&encrypt=prefer&timeout=2.5&user=bob",
        );
        let given = given.unwrap();
        assert_eq!(given.host, "web");
        assert_eq!(given.port, Some(4450));
        assert_eq!(given.username.as_deref(), Some("ann"));
        assert_eq!(given.domain.as_deref(), Some("OFFICE"));
        assert_eq!(given.pipe.as_deref(), Some("x"));
        assert_eq!((given.compat, given.encrypt), (Compat::Pushy, Encrypt::Prefer));
        assert_eq!(given.timeout, Some(Duration::from_millis(2500)));
        assert!(given.password.is_none());
    }

    #[test]
    fn a_network_path_names_the_pipe() {
        assert_eq!(settings(r"\\web\pipe\x").unwrap().pipe.as_deref(), Some("x"));
        let given = settings(r"\\web?username=OFFICE\ann").unwrap();
        assert_eq!(given.pipe, None);
        assert_eq!(given.username.as_deref(), Some(r"OFFICE\ann"));
    }

    #[test]
    fn the_password_is_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\nmore\n").unwrap();
        let given = settings(&format!("smb:web?password-file={}", file.display())).unwrap();
        assert_eq!(given.password.unwrap().expose(), b"secret");
        let missing = settings("smb:web?password-file=/no-such-file").unwrap_err();
        assert_eq!(
            missing,
            "bad option `password-file` of `smb:web`: `/no-such-file`: no such file or directory"
        );
    }

    #[track_caller]
    fn check_bad(option: &str, expected: &str) {
        let told = settings(&format!("smb:ann@web:445?{option}")).unwrap_err();
        let key = option.split('=').next().unwrap_or_default();
        assert_eq!(told, format!("bad option `{key}` of `smb:ann@web:445`: {expected}"));
    }

    #[test]
    fn bad_values() {
        check_bad("compat=psexec", "it is none of these");
        check_bad("encrypt=maybe", "it is none of these");
        check_bad("timeout=soon", "it is no number of seconds");
        check_bad("port=0", "it is no port");
        check_bad("port=446", "the address names another port");
        check_bad("username=bob", "the address names another user");
        check_bad("pipe=", "its value is empty");
    }

    #[track_caller]
    fn check_host(address: &str, expected: Result<&str, &str>) {
        let smb = Address::parse(address).unwrap().smb();
        let said = smb.map(|smb| smb.address()).map_err(|error| error.to_string());
        assert_eq!(said, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn a_host_itself() {
        check_host("smb:ann@web:4450?timeout=3", Ok("smb:ann@web:4450"));
        check_host("local:|smb:web", Ok("smb:web"));
        check_host("ssh:web", Err("this build has no way to `ssh:web` yet"));
        check_host(
            "smb:web?compat=x",
            Err("bad option `compat` of `smb:web`: it is none of these"),
        );
    }
}
