//! Users with a login shell of one's choice.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use super::complain;
use crate::{find_program, is_root};

/// The name of an ordinary user with this login shell (`sh`, `dash`, `bash`, `zsh`, `fish`), `thither-test-SHELL`, who is
/// made if there is none, and stays. It has an empty home folder and no password.
///
/// # Errors
/// The reason for a skip: there is no such shell, or we are not root.
///
/// # Panics
/// When the user cannot be made.
pub fn ssh_user(shell: &str) -> Result<String, String> {
    let program = find_program(shell)?;
    needs_root()?;
    let name = format!("thither-test-{shell}");
    let _lock = lock();
    if !exists(&name) {
        make(&name, &program)
            .unwrap_or_else(|error| panic!("cannot make the user {name}: {error}"));
    }
    Ok(name)
}

/// An ordinary user with a password of its own, who is removed when this is dropped.
#[derive(Debug)]
pub struct PasswordUser {
    name: String,
    password: String,
}

impl PasswordUser {
    /// Makes one.
    ///
    /// # Errors
    /// The reason for a skip: we are not root.
    ///
    /// # Panics
    /// When the user cannot be made.
    pub fn new() -> Result<PasswordUser, String> {
        needs_root()?;
        let sh = find_program("sh")?;
        let name = format!("thither-pw-{}", random(4));
        let password = random(16);
        let _lock = lock();
        let made = make(&name, &sh).and_then(|()| set_password(&name, &password));
        made.unwrap_or_else(|error| panic!("cannot make the user {name}: {error}"));
        Ok(PasswordUser { name, password })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl Drop for PasswordUser {
    fn drop(&mut self) {
        let _lock = lock();
        // Also while something of it still runs.
        let _ = complain(Command::new("userdel").args(["--force", "--remove", &self.name]));
    }
}

fn needs_root() -> Result<(), String> {
    match is_root() {
        true => Ok(()),
        false => Err("only root can make users".into()),
    }
}

/// The programs below give up when somebody else changes the files at the same time.
pub(super) fn lock() -> File {
    let path = PathBuf::from("/run/thither-test-users.lock");
    let file = File::options().create(true).append(true).open(path).expect("a lock in /run");
    flock(&file, FlockOperation::LockExclusive).expect("a lock");
    file
}

fn exists(name: &str) -> bool {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().any(|line| line.split(':').next() == Some(name))
}

fn make(name: &str, shell: &Path) -> io::Result<()> {
    let skeleton = tempfile::tempdir()?;
    // Without it bash and zsh would take the system's, or ask what to do.
    for file in [".bashrc", ".zshrc"] {
        File::create(skeleton.path().join(file))?;
    }
    let mut useradd = Command::new("useradd");
    useradd.arg("--create-home").arg("--skel").arg(skeleton.path()).arg("--shell").arg(shell);
    // No password matches `*`; with useradd's own `!` sshd would take the account for locked.
    complain(useradd.args(["--password", "*", name]))
}

fn set_password(name: &str, password: &str) -> io::Result<()> {
    let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = chpasswd.stdin.take() {
        writeln!(stdin, "{name}:{password}")?;
    }
    match chpasswd.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("chpasswd failed")),
    }
}

/// So many random bytes in hexadecimal.
fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut buffer));
    read.expect("/dev/urandom");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}
