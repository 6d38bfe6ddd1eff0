//! Ordinary users, for tests that run as root.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

/// The user and group id of [`as_user`]: an ordinary user without a name, so without subordinate ids too.
pub const USER: u32 = 12345;

/// Whether this process has the rights of root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a command run as an ordinary user: [`USER`] with no other group and `HOME=/tmp` when the test runs as root,
/// else the one who runs the test.
///
/// That user may be unable to reach the program (under /root, say): see [`PublicCopy`].
pub fn as_user(command: &mut Command) -> &mut Command {
    match is_root() {
        // Setting a user id as root empties the list of groups too (std::os::unix::process::CommandExt).
        true => command.uid(USER).gid(USER).env("HOME", "/tmp").env("USER", "user"),
        false => command,
    }
}

/// A copy of a program in a folder that every user can reach, removed when it is dropped.
#[derive(Debug)]
pub struct PublicCopy {
    _folder: TempDir,
    path: PathBuf,
}

impl PublicCopy {
    /// Copies a program.
    ///
    /// # Errors
    /// When it cannot be read, or the folder for temporary files not be written.
    pub fn of(program: impl AsRef<Path>) -> io::Result<PublicCopy> {
        let program = program.as_ref();
        let folder = public_folder("thither-copy")?;
        let name = program.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let path = folder.path().join(name);
        crate::root::cp(program, &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(PublicCopy { _folder: folder, path })
    }

    /// Where the copy is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A folder for temporary files that every user can enter, where they can enter its parents.
pub(crate) fn public_folder(prefix: &str) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("{prefix}-"))
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(env::temp_dir())?;
    // The mode above is subject to the umask.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_ordinary_and_can_run_a_public_copy() {
        let copy = PublicCopy::of(crate::find_program("id").unwrap()).unwrap();
        let ids = |flag: &str| {
            let output = as_user(Command::new(copy.path()).arg(flag)).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let expected = match is_root() {
            true => USER,
            false => rustix::process::getuid().as_raw(),
        };
        assert_eq!(ids("-u"), format!("{expected}\n"));
        if is_root() {
            assert_eq!(ids("-G"), format!("{USER}\n"));
        }
        let folder = copy.path().parent().unwrap().to_path_buf();
        drop(copy);
        assert!(!folder.exists());
    }
}
