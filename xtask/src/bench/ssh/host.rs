//! A host to be measured against, and the control masters that lead there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testkit::{DEADLINE, Sshd, find_program, ssh_user, wait_until, write_program};

use super::Tool;
use crate::Result;
use crate::bench::files::text;
use crate::bench::rounds::catch;

/// Its name in the configuration.
pub(super) const NAME: &str = "thither-test";

/// OpenSSH's server on loopback with one user, whose login shell is `sh` and whose home is empty. Its clients have a
/// configuration and a home of their own. Masters that lead there end with it.
pub(super) struct Host {
    sshd: Sshd,
    folder: TempDir,
    user: String,
}

impl Host {
    /// Starts it, and the peers' control master.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn start() -> Result<Host> {
        find_program("ssh")?;
        catch(|| {
            let host = Host {
                sshd: Sshd::start()?,
                folder: tempfile::tempdir().map_err(|error| error.to_string())?,
                user: ssh_user("sh")?,
            };
            host.write_files().map_err(|error| format!("{}: {error}", host.path("").display()))?;
            host.start_master()?;
            Ok(host)
        })
    }

    fn write_files(&self) -> std::io::Result<()> {
        let of_host = fs::read_to_string(self.sshd.ssh_config())?;
        fs::write(self.path("config"), format!("User {}\n{of_host}", self.user))?;
        let script = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", self.path("config").display());
        write_program(&self.path("ssh"), &script);
        fs::create_dir(self.path(".ssh"))?;
        fs::copy(self.sshd.known_hosts(), self.path(".ssh/known_hosts"))?;
        Ok(())
    }

    fn start_master(&self) -> Result<()> {
        let arguments = ["-M", "-N", "-f", "-o", "ControlPersist=yes", NAME];
        let mut command = self.command(&self.over_master("ssh", &arguments));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status().map_err(|error| format!("ssh: {error}"))? {
            status if status.success() => Ok(()),
            status => Err(format!("the control master of ssh: {status}")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the client that is built in is told, which reads no configuration.
    pub(super) fn address_without_configuration(&self) -> String {
        let identity = self.sshd.identity();
        let (user, port) = (&self.user, self.sshd.port());
        format!("ssh:{user}@127.0.0.1:{port}?use-native=false&identity={}", identity.display())
    }

    /// `ssh` as thither runs it.
    pub(super) fn plain_ssh(&self, words: &[&str]) -> Vec<String> {
        own(&[&[text(&self.path("ssh")).as_str()], words].concat())
    }

    /// A program of OpenSSH over the peers' master, which is warm.
    pub(super) fn over_master(&self, program: &str, words: &[&str]) -> Vec<String> {
        let (config, master) = (text(&self.path("config")), self.path("master"));
        let master = format!("ControlPath={}", master.display());
        own(&[&[program, "-F", &config, "-o", &master], words].concat())
    }

    /// The variables of everything that is measured.
    pub(super) fn variables(&self, tool: &Tool) -> [(&'static str, String); 3] {
        let ssh =
            if tool.without_ssh { "/nonexistent/ssh".into() } else { text(&self.path("ssh")) };
        let path = "/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        [("THITHER_SSH", ssh), ("HOME", text(self.folder.path())), ("PATH", path)]
    }

    /// A program with nothing in its environment that depends on who measures.
    pub(super) fn command(&self, argv: &[String]) -> Command {
        self.command_of(&Tool::new("", argv.to_vec()))
    }

    /// The same.
    pub(super) fn command_of(&self, tool: &Tool) -> Command {
        let mut command = Command::new(&tool.argv[0]);
        command.args(&tool.argv[1..]).env_clear().envs(self.variables(tool)).current_dir("/");
        command
    }

    /// Ends the masters that thither has started, and waits for their end.
    pub(super) fn end_masters(&self) -> Result<()> {
        let masters = self.masters();
        for (_, path) in &masters {
            let mut command = self.command(&self.plain_ssh(&["-S", path, "-O", "exit", NAME]));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().map_err(|error| format!("ssh -O exit: {error}"))?;
        }
        catch(|| {
            let is_gone = |pid: u32| !Path::new(&format!("/proc/{pid}")).exists();
            let what = "the end of a control master";
            wait_until(DEADLINE, what, || masters.iter().all(|&(pid, _)| is_gone(pid)));
            Ok(())
        })
    }

    /// The processes of those masters, and where each listens: `ssh -F CONFIG -M ... -o ControlPath="PATH"`.
    fn masters(&self) -> Vec<(u32, String)> {
        let config = text(&self.path("config"));
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let master = |entry: fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            Some((pid, control_path(&line, &config)?))
        };
        entries.filter_map(master).collect()
    }
}

/// That of a command line, if it is that of a master with this configuration.
fn control_path(line: &str, config: &str) -> Option<String> {
    let words: Vec<&str> = line.split('\0').collect();
    let has = |word: &str| words.contains(&word);
    let path = words.iter().find_map(|word| word.strip_prefix("ControlPath=\""));
    (has(config) && has("-M")).then_some(path?.strip_suffix('"')?.to_owned())
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut end = self.command(&self.over_master("ssh", &["-O", "exit", NAME]));
        end.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = end.status();
        // They would end with the server, too.
        let _ = self.end_masters();
    }
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_of_a_configuration() {
        let line = "ssh\0-F\0/c\0-M\0-N\0-o\0ControlPath=\"/run/x\"\0--\0h\0";
        assert_eq!(control_path(line, "/c"), Some("/run/x".into()));
        assert_eq!(control_path(line, "/other"), None);
        assert_eq!(control_path(&line.replace("-M", "-T"), "/c"), None);
        // The peers' own has no quotes.
        assert_eq!(control_path(&line.replace('"', ""), "/c"), None);
    }
}
