//! A host of the test's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use testkit::Smbd;

use crate::harness::{Daemon, Folders, failure, says};

/// A host of the test's own, or a skip: `host!()`, `host!("server smb encrypt = off")` with lines of smb.conf(5).
macro_rules! host {
    () => {
        host!("")
    };
    ($lines:expr) => {
        match crate::host::Host::new($lines) {
            Ok(host) => host,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

pub(crate) use host;

/// Samba's server, the daemon behind its pipe `thither`, and a user that both know.
pub(crate) struct Host {
    pub(crate) smbd: Smbd,
    /// Its `place` is the address as the user writes it, with the password in a file.
    pub(crate) daemon: Daemon,
}

impl Host {
    pub(crate) fn new(lines: &str) -> Result<Host, String> {
        let smbd = Smbd::options(lines)?;
        let user = smbd.user().to_owned();
        Ok(Host::of(smbd, &user))
    }

    /// With a daemon that admits this user and no other.
    #[track_caller]
    pub(crate) fn of(smbd: Smbd, admitted: &str) -> Host {
        let pipes = smbd.pipes();
        let pipes = pipes.to_str().expect("a plain path");
        let words = ["--samba-pipe", "thither", "--samba-user", admitted, "--samba-folder", pipes];
        let daemon = Daemon::start(Folders::new(), &words);
        let mut host = Host { smbd, daemon };
        let file = host.file("password", &format!("{}\n", host.smbd.password()));
        assert_eq!(file, host.daemon.folders.path("here/password"));
        host.daemon.place = format!("{}?{}", host.bare(), host.password());
        host
    }

    /// The option that says where the password is.
    pub(crate) fn password(&self) -> String {
        format!("password-file={}", self.daemon.folders.path("here/password").display())
    }

    /// Its address without a password.
    pub(crate) fn bare(&self) -> String {
        format!("smb:{}@127.0.0.1:{}", self.smbd.user(), self.smbd.port())
    }

    /// A file of the user here, which only they can read.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.daemon.folders.path("here").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// What differs in every run, taken out.
    pub(crate) fn plain(&self, text: &str) -> String {
        let port = self.smbd.port().to_string();
        let here = self.daemon.folders.path("here");
        let text = text.replace(here.to_str().expect("a plain path"), "[HOME]");
        text.replace(self.smbd.user(), "[USER]").replace(&port, "[PORT]")
    }

    /// How `run` fails at this address.
    #[track_caller]
    pub(crate) fn fails(&self, place: &str) -> String {
        self.plain(&failure(says(&mut self.daemon.here(["run", place, "--", "true"]))))
    }
}
