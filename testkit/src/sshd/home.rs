//! A user of ssh who has nothing of anybody else's: for a test in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Sshd, complain, read};
use crate::watch::all_processes;
use crate::{DEADLINE, Marker, RecordsFolder, Who, find_program, is_root, write_program};

/// Where the test in the other process finds its folder.
const FOLDER: &str = "THITHER_SSH_HOME";

/// Goes on in a process of its own, whose home, ssh_config and control masters nobody else has: see [`SshHome`].
///
/// ```no_run
/// fn a_test() {
///     testkit::own_ssh!();
/// }
/// ```
#[macro_export]
macro_rules! own_ssh {
    () => {
        if let Some(reason) = $crate::SshHome::cannot_be() {
            $crate::skip!("{reason}");
        }
        let home = $crate::SshHome::new();
        $crate::own_process!(|program| home.command(program));
        drop(home);
    };
}

/// A home folder with a `ssh` of its own, which reads the file [`config`](SshHome::config) and nothing of the user's.
///
/// When it goes, control masters that are left are ended, and anything else that is left fails the test.
#[derive(Debug)]
pub struct SshHome {
    records: RecordsFolder,
    folder: tempfile::TempDir,
    marker: Marker,
}

impl SshHome {
    /// Why there can be none.
    #[must_use]
    pub fn cannot_be() -> Option<String> {
        let missing = ["unshare", "ssh"].into_iter().find_map(|name| find_program(name).err());
        let ordinary =
            || (!is_root()).then(|| "only root can start an sshd that logs users in".into());
        missing.or_else(ordinary)
    }

    /// Makes it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> SshHome {
        // The other process has a /run of its own, and so would have a lock of its own.
        drop(super::users::lock());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = SshHome { records: RecordsFolder::new(), folder, marker: Marker::new() };
        let config = home.folder.path().join("config");
        let script = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", config.display());
        write_program(&home.folder.path().join("ssh"), &script);
        fs::write(config, "").expect("ssh_config");
        home
    }

    /// A command that runs a program with it.
    ///
    /// # Panics
    /// As [`RecordsFolder::command`].
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let folder = self.folder.path();
        let mut command = self.records.command(program, Who::Same);
        self.marker.mark(&mut command);
        command.env("THITHER_SSH", folder.join("ssh")).env(FOLDER, folder).env("HOME", folder);
        for name in
            ["PUSHY_NATIVE_SSH", "SSH_AUTH_SOCK", "SSH_ASKPASS", "DISPLAY", "LANG", "LC_ALL"]
        {
            command.env_remove(name);
        }
        command
    }

    /// The folder, in the process that [`own_ssh!`](crate::own_ssh) has started.
    ///
    /// # Panics
    /// Elsewhere.
    #[must_use]
    pub fn folder() -> PathBuf {
        std::env::var_os(FOLDER).expect("own_ssh!() comes first").into()
    }

    /// Its ssh_config.
    ///
    /// # Panics
    /// As [`folder`](SshHome::folder).
    #[must_use]
    pub fn config() -> PathBuf {
        SshHome::folder().join("config")
    }

    /// The host `thither-test` is this one, and `lines` of ssh_config(5) win over what is said of it.
    ///
    /// # Panics
    /// As [`folder`](SshHome::folder).
    pub fn knows(host: &Sshd, lines: &str) {
        let text = format!("{lines}\n{}", read(&host.ssh_config()));
        fs::write(SshHome::config(), text).expect("ssh_config");
    }

    /// The control masters of this home: those that were started with its variables, as `ssh ... -M ...`.
    ///
    /// # Panics
    /// As [`folder`](SshHome::folder).
    #[must_use]
    pub fn masters() -> Vec<u32> {
        let variable = format!("{FOLDER}={}", SshHome::folder().display());
        all_processes(|process| is_master(process) && has(process, &variable))
    }
}

fn has(process: &Path, variable: &str) -> bool {
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|other| other == variable.as_bytes())
}

fn is_master(process: &Path) -> bool {
    let line = read(&process.join("cmdline"));
    line.starts_with("ssh\0") && line.contains("\0-M\0")
}

impl Drop for SshHome {
    fn drop(&mut self) {
        for pid in self.marker.processes() {
            if is_master(&PathBuf::from(format!("/proc/{pid}"))) {
                // It may be gone meanwhile.
                let _ = complain(Command::new("kill").arg(pid.to_string()));
            }
        }
        let left = self.marker.survivors(DEADLINE);
        assert!(left.is_empty() || std::thread::panicking(), "left behind: {}", left.join("; "));
    }
}

/// What sudo(8) lets a user do without a password: everything, as everybody, until it is dropped.
#[derive(Debug)]
pub struct SudoRule(PathBuf);

impl SudoRule {
    /// Makes it.
    ///
    /// # Errors
    /// The reason for a skip: there is no sudo.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(user: &str) -> Result<SudoRule, String> {
        find_program("sudo")?;
        let path = PathBuf::from(format!("/etc/sudoers.d/thither-test-{}", std::process::id()));
        // sudo takes no file that others can write to, nor one that is half written: a name with a dot it skips.
        let new = path.with_extension("new");
        fs::write(&new, format!("{user} ALL=(ALL:ALL) NOPASSWD: ALL\n")).expect("a rule for sudo");
        fs::rename(new, &path).expect("a rule for sudo");
        Ok(SudoRule(path))
    }
}

impl Drop for SudoRule {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
