//! By the user's own `ssh`, or by the one that is built in.

use std::os::fd::OwnedFd;

use thither_place::{Error, Result};

use super::program;
use super::settings::{Native, Settings};

/// Which of them serves a host with these settings.
///
/// # Errors
/// [`Error::Unsupported`] for the one that is built in where it is not.
pub(super) fn is_native(settings: &Settings, place: &str) -> Result<bool> {
    let has_builtin = cfg!(feature = "ssh-builtin");
    match settings.native {
        Native::Yes => Ok(true),
        Native::Automatic if has_builtin => Ok(settings.password.is_none() && program::is_there()),
        Native::Automatic => Ok(true),
        Native::No if has_builtin => Ok(false),
        Native::No => Err(Error::Unsupported {
            action: "be reached by an ssh that is built in: this build has none".into(),
            place: place.into(),
            hint: Some("leave out `use-native`, or build with the feature `ssh-builtin`".into()),
        }),
    }
}

#[cfg(feature = "ssh-builtin")]
pub(super) use with::BuiltIn;

#[cfg(not(feature = "ssh-builtin"))]
pub(super) use without::BuiltIn;

#[cfg(feature = "ssh-builtin")]
mod with {
    use std::sync::{Arc, OnceLock};

    use thither_place::{Command, Endpoint, Error, Process, Result};

    use super::super::guard;
    use super::super::line::{self, Shell};
    use super::super::settings::Settings;
    use super::OwnedFd;
    use crate::builtin::{Builtin, Guard};
    use crate::through::Dial;

    /// The one that is built in, once it is used.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct BuiltIn(Arc<OnceLock<Builtin>>);

    /// RFC 4253, 4.1.
    const PORT: u16 = 22;

    impl BuiltIn {
        fn get(&self, settings: &Settings, place: &str, dial: Option<&Arc<Dial>>) -> &Builtin {
            self.0.get_or_init(|| {
                let builtin = Builtin::new(settings, place);
                let Some(dial) = dial.cloned() else { return builtin };
                let port = settings.port.unwrap_or(PORT);
                let to = Endpoint::Tcp { host: settings.host.clone(), port };
                builtin.through(move |_| dial(&to))
            })
        }

        pub(crate) fn spawn(
            &self,
            settings: &Settings,
            place: &str,
            dial: Option<&Arc<Dial>>,
            command: &Command,
            token: &str,
        ) -> Result<Process> {
            let request = line::request(command, Shell::Unknown, token, place)?;
            let guard = (!request.token.is_empty()).then(|| Guard {
                line: guard::line(Shell::Unknown, token, command.user.as_deref()),
                always: command.user.is_some(),
            });
            self.get(settings, place, dial).spawn(request, guard, command)
        }

        pub(crate) fn connect(
            &self,
            settings: &Settings,
            place: &str,
            dial: Option<&Arc<Dial>>,
            to: &Endpoint,
        ) -> Result<OwnedFd> {
            let builtin = self.get(settings, place, dial);
            match to {
                Endpoint::Tcp { host, port } => builtin.open_tcp(host, *port, None),
                Endpoint::Unix(path) => {
                    let path = path.to_str().ok_or_else(|| Error::Unsupported {
                        action: "connect to a socket whose path is not UTF-8".into(),
                        place: place.into(),
                        hint: None,
                    })?;
                    builtin.open_unix(path, None)
                }
            }
        }

        pub(crate) fn subsystem(
            &self,
            settings: &Settings,
            place: &str,
            dial: Option<&Arc<Dial>>,
            name: &str,
        ) -> Result<OwnedFd> {
            self.get(settings, place, dial).subsystem(name, None)
        }
    }
}

/// What [`is_native`] never asks for.
#[cfg(not(feature = "ssh-builtin"))]
mod without {
    use std::sync::Arc;

    use thither_place::{Command, Process};

    use thither_place::Endpoint;

    use super::{Error, OwnedFd, Result, Settings};
    use crate::through::Dial;

    #[derive(Clone, Debug, Default)]
    pub(crate) struct BuiltIn(());

    impl BuiltIn {
        pub(crate) fn spawn(
            &self,
            _: &Settings,
            place: &str,
            _: Option<&Arc<Dial>>,
            _: &Command,
            _: &str,
        ) -> Result<Process> {
            Err(none(place))
        }

        pub(crate) fn connect(
            &self,
            _: &Settings,
            place: &str,
            _: Option<&Arc<Dial>>,
            _: &Endpoint,
        ) -> Result<OwnedFd> {
            Err(none(place))
        }

        pub(crate) fn subsystem(
            &self,
            _: &Settings,
            place: &str,
            _: Option<&Arc<Dial>>,
            _: &str,
        ) -> Result<OwnedFd> {
            Err(none(place))
        }
    }

    fn none(place: &str) -> Error {
        let action = "be reached by an ssh that is built in: this build has none".to_owned();
        Error::Unsupported { action, place: place.into(), hint: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::Secret;

    #[track_caller]
    fn check(native: Native, password: bool, expected: Option<bool>) {
        let password = password.then(|| Secret::new("x"));
        let settings = Settings { native, password, ..Settings::default() };
        assert_eq!(is_native(&settings, "ssh:web").ok(), expected);
    }

    #[test]
    fn which() {
        let has_builtin = cfg!(feature = "ssh-builtin");
        check(Native::Yes, false, Some(true));
        check(Native::Yes, true, Some(true));
        check(Native::No, false, has_builtin.then_some(false));
        check(Native::Automatic, true, Some(!has_builtin));
    }
}
