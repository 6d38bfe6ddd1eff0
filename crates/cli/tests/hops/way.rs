//! Hosts over ssh for a test, and the tool that knows them.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};

use testkit::Sshd;

use crate::common::{Test, output};

/// The hosts `a` and `b`, both with the same users and roots: this machine's.
pub(crate) struct Way {
    pub(crate) test: Test,
    pub(crate) a: Sshd,
    pub(crate) b: Sshd,
}

/// A [`Way`], or a skip.
macro_rules! way {
    () => {
        way!("", "")
    };
    ($options:expr, $environment:expr) => {
        match $crate::way::Way::new($options, $environment) {
            Ok(way) => way,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

pub(crate) use way;

impl Way {
    /// `options` are lines of `a`'s sshd_config, and `environment` variables there.
    pub(crate) fn new(options: &str, environment: &str) -> Result<Way, String> {
        let test = Test::new();
        // Whatever root's own shell would read here.
        let home = format!("SetEnv HOME={}", test.dir().display());
        let a = Sshd::options(&format!("{home} {environment}\n{options}"))?;
        let b = Sshd::options(&home)?;
        let user = testkit::ssh_user("sh")?;
        let host = |name: &str, sshd: &Sshd| {
            format!(
                "Host {name}\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n \
                 UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n",
                sshd.port(),
                sshd.identity().display(),
                sshd.known_hosts().display(),
            )
        };
        let as_user = host("user-of-a", &a).replace("User root", &format!("User {user}"));
        let config = test.file("config", &[host("a", &a), host("b", &b), as_user].concat());
        let wrapper = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", config.display());
        testkit::write_program(&test.dir().join("ssh"), &wrapper);
        Ok(Way { test, a, b })
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.test.thither(args);
        command.env("THITHER_SSH", self.test.dir().join("ssh"));
        command
    }

    /// What it says to these words and this input: standard output, standard error, code.
    #[track_caller]
    pub(crate) fn says(&self, args: &[&str], input: &[u8]) -> (String, String, i32) {
        let Output { status, stdout, stderr } = output(&mut self.command(args), input);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(stdout), text(stderr), status.code().unwrap_or(-1))
    }

    /// That it says this, and nothing of itself.
    #[track_caller]
    pub(crate) fn check(&self, args: &[&str], stdout: &str, code: i32) {
        let (said, complaints, found) = self.says(args, b"");
        assert_eq!((said.as_str(), complaints.as_str(), found), (stdout, "", code), "{args:?}");
    }

    /// That it fails with these words on standard error.
    #[track_caller]
    pub(crate) fn check_fails(&self, args: &[&str], words: &[&str], code: i32) {
        let (_, complaints, found) = self.says(args, b"");
        assert_eq!(found, code, "{args:?}: {complaints}");
        for word in words {
            assert!(complaints.contains(word), "{args:?}: {complaints}");
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // Masters end with their servers' sessions.
        self.a.kill_sessions();
        self.b.kill_sessions();
        let _ = fs::remove_file(self.test.dir().join("ssh"));
    }
}
