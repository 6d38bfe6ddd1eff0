//! A small root file system to enter.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::find_program;
use crate::user::public_folder;

/// A root file system of busybox and the libraries it is linked to, in a temporary folder that every user can
/// reach; removed when it is dropped.
///
/// It has all applets in `/bin`; `/root`, `/home/guest`, `/tmp`, `/etc/passwd` and `/etc/group` with `root` and
/// `guest` (1000); and the empty mount points `/proc`, `/sys`, `/dev` and `/etc/resolv.conf`.
#[derive(Debug)]
pub struct BusyboxRoot {
    folder: TempDir,
}

impl BusyboxRoot {
    /// Makes one.
    ///
    /// # Errors
    /// The reason for a skip: busybox is missing.
    ///
    /// # Panics
    /// When busybox is there and the folder for temporary files cannot be written.
    #[track_caller]
    pub fn new() -> Result<BusyboxRoot, String> {
        BusyboxRoot::of(&find_program("busybox")?)
    }

    /// Makes one of this busybox.
    #[track_caller]
    pub(crate) fn of(busybox: &Path) -> Result<BusyboxRoot, String> {
        let folder = public_folder("thither-root").expect("a temporary folder");
        let root = BusyboxRoot { folder };
        root.fill(busybox)
            .unwrap_or_else(|error| panic!("a root file system of {busybox:?}: {error}"));
        Ok(root)
    }

    /// Puts a program of this machine where it is here, with the libraries that it is linked to: for what Debian's busybox
    /// does not have in all of its flavours.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    #[track_caller]
    pub fn with(self, program: &str) -> BusyboxRoot {
        let put = |path: &Path| -> io::Result<()> {
            let inside = path.strip_prefix("/").map_err(io::Error::other)?;
            if let Some(parent) = inside.parent() {
                self.folder(parent)?;
            }
            self.copy(path, inside)
        };
        let all = libraries(Path::new(program)).and_then(|libraries| {
            put(Path::new(program))?;
            libraries.iter().try_for_each(|library| put(library))
        });
        all.unwrap_or_else(|error| panic!("{program} in a root: {error}"));
        self
    }

    /// Removes what these paths inside it name, with all that is in them: `root.without(&["proc", "etc/resolv.conf"])`.
    ///
    /// # Panics
    /// When one does not exist.
    #[must_use]
    #[track_caller]
    pub fn without(self, paths: &[&str]) -> BusyboxRoot {
        for path in paths {
            let path = self.path().join(path);
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.unwrap_or_else(|error| panic!("cannot remove {path:?}: {error}"));
        }
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn fill(&self, busybox: &Path) -> io::Result<()> {
        for folder in ["bin", "dev", "etc", "home/guest", "proc", "root", "sys", "tmp"] {
            self.folder(folder)?;
        }
        fs::set_permissions(self.path().join("tmp"), fs::Permissions::from_mode(0o1777))?;
        let passwd = "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home/guest:/bin/sh\n";
        self.file("etc/passwd", passwd)?;
        self.file("etc/group", "root:x:0:\nguest:x:1000:\n")?;
        self.file("etc/resolv.conf", "")?;
        self.copy(busybox, "bin/busybox")?;
        for library in libraries(busybox)? {
            let inside = library.strip_prefix("/").map_err(io::Error::other)?;
            if let Some(parent) = inside.parent() {
                self.folder(parent)?;
            }
            self.copy(&library, inside)?;
        }
        let list = Command::new(busybox).arg("--list").output()?.stdout;
        for applet in String::from_utf8_lossy(&list).lines().filter(|&name| name != "busybox") {
            symlink("busybox", self.path().join("bin").join(applet))?;
        }
        Ok(())
    }

    /// Makes a folder and its parents, with modes that do not depend on the umask.
    fn folder(&self, inside: impl AsRef<Path>) -> io::Result<()> {
        let mut path = self.path().to_path_buf();
        for part in inside.as_ref() {
            path.push(part);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?,
            }
        }
        Ok(())
    }

    fn file(&self, inside: &str, text: &str) -> io::Result<()> {
        let path = self.path().join(inside);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
    }

    fn copy(&self, from: &Path, inside: impl AsRef<Path>) -> io::Result<()> {
        let path = self.path().join(inside);
        fs::set_permissions(cp(from, &path)?, fs::Permissions::from_mode(0o755))
    }
}

/// Copies a file that is to be executed. Another process does it: if this one had it open for writing while another
/// thread forks, executing it would fail with `ETXTBSY` until that child executes its program.
pub(crate) fn cp<'a>(from: &Path, to: &'a Path) -> io::Result<&'a Path> {
    let output = Command::new("cp").args([from, to]).output()?;
    match output.status.success() {
        true => Ok(to),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// Writes a script that is to be executed, with mode 0755. Tests run as threads of one process: a file that one of
/// them wrote itself cannot be executed (`ETXTBSY`) while a child that another one forked meanwhile has it open.
///
/// # Panics
/// When it cannot be written.
#[track_caller]
pub fn write_program(path: &Path, text: &str) {
    let mut sh = Command::new("sh");
    sh.args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", text]).arg(path);
    assert!(sh.status().expect("sh").success(), "cannot write {path:?}");
}

/// The libraries and the loader of a program by `ldd`; none for a static one.
pub(crate) fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    // `libc.so.6 => /lib/.../libc.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`, `linux-vdso.so.1 (0x...)`
    Ok(String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_entered() {
        let root = match BusyboxRoot::new() {
            Ok(root) => root.without(&["proc", "etc/resolv.conf"]),
            Err(reason) => crate::skip!("{reason}"),
        };
        if !crate::is_root() {
            crate::skip!("chroot(1) is for root alone");
        }
        let script = "echo /*; id -u guest; test -e /etc/resolv.conf || echo none; uname";
        let chroot = |script: &str| {
            let mut command = Command::new("chroot");
            let output = command.arg(root.path()).args(["/bin/sh", "-c", script]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let seen = chroot(script);
        let (folders, rest) = seen.split_once('\n').unwrap();
        let folders: Vec<&str> =
            folders.split(' ').filter(|name| !name.starts_with("/lib")).collect();
        assert_eq!(folders, ["/bin", "/dev", "/etc", "/home", "/root", "/sys", "/tmp"]);
        assert_eq!(rest, "1000\nnone\nLinux\n");
    }

    #[test]
    fn an_ordinary_user_reaches_it() {
        let root = match BusyboxRoot::new() {
            Ok(root) => root,
            Err(reason) => crate::skip!("{reason}"),
        };
        let path = root.path().to_path_buf();
        let mut command = Command::new("sh");
        command
            .args(["-c", "cat etc/passwd && touch tmp/x && ! touch etc/x 2>&-"])
            .current_dir(&path);
        let status = crate::as_user(&mut command).output().unwrap().status;
        assert!(status.success() || !crate::is_root());
        drop(root);
        assert!(!path.exists());
    }
}
