//! A Windows under Wine, in namespaces of its own, with the service behind a named pipe of a real smbd.

mod service;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub use self::service::Service;
use crate::user::public_folder;
use crate::{DEADLINE, find_program, is_root, wait_until};

/// The variable with the folder that `cargo xtask dist windows --tests` makes.
pub const WINDOWS: &str = "THITHER_WINDOWS";

const KEEP: &str = include_str!("wine/keep.sh");
const INNER: &str = include_str!("wine/inner.sh");

/// Where Debian has what its package `wine64` brings.
const DEBIANS: &str = "/usr/lib/wine/wine64";

/// The program that runs Windows' of 64 bits.
///
/// # Errors
/// That it is not installed.
pub fn wine64() -> Result<PathBuf, String> {
    find_program("wine64").or_else(|error| match Path::new(DEBIANS) {
        debians if debians.exists() => Ok(debians.to_owned()),
        _ => Err(error),
    })
}

/// The program beside it that is Windows' kernel.
#[must_use]
pub fn wineserver(wine: &Path) -> PathBuf {
    let with_bits = wine.with_file_name("wineserver64");
    if with_bits.exists() { with_bits } else { wine.with_file_name("wineserver") }
}

/// What Wine is told: where its Windows is, and that it has nobody to ask, nothing to show and nothing to complain of.
pub fn wine_environment(command: &mut Command, prefix: &Path) {
    // Mono and Gecko would be asked for in a window.
    command.env("WINEPREFIX", prefix).env("WINEDLLOVERRIDES", "mscoree,mshtml=");
    command.env("WINEDEBUG", "-all").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
}

/// A running Windows, with `pushyd.exe`, `bridge.exe` and a genuine `python` in its search path.
///
/// It begins as it was installed, and what it writes is lost. It ends, with all that runs in it, when it is dropped, or when
/// this process ends, however.
#[derive(Debug)]
pub struct Windows {
    folder: TempDir,
    wine: PathBuf,
    /// Whose children are in the namespaces.
    parent: String,
    /// A shell that waits for the end of its input, and then ends all.
    keeper: Child,
}

impl Windows {
    /// Starts one.
    ///
    /// # Errors
    /// The reason for a skip: something is missing, or we are not root, who alone can mount.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Result<Windows, String> {
        let wine = wine64()?;
        let prefix = shared_folder()?.join("prefix");
        find_program("unshare")?;
        find_program("nsenter")?;
        if !is_root() {
            return Err("only root can start a Windows of its own".into());
        }
        let folder = public_folder("thither-windows").expect("a temporary folder");
        let log = File::create(folder.path().join("log")).expect("a log");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEP, "keeper", "sh", "-c", INNER, "inner"]);
        keeper.arg(folder.path()).arg(&prefix).arg(wineserver(&wine)).arg(&wine);
        wine_environment(&mut keeper, &prefix);
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .current_dir("/")
            .spawn()
            .expect("sh");
        let mut parent = String::new();
        BufReader::new(keeper.stdout.take().expect("a pipe")).read_line(&mut parent).expect("sh");
        let parent = parent.trim_end().to_owned();
        let windows = Windows { folder, wine, parent, keeper };
        wait_until(DEADLINE, "the drive of Windows", || {
            assert!(Path::new("/proc").join(&windows.parent).exists(), "{}", windows.log());
            windows.folder.path().join("ready").exists()
        });
        Ok(windows)
    }

    /// A Windows' program, to be run in it: `command("cmd").args(["/c", "echo"])`.
    ///
    /// Its files have paths as `C:\file`, and those of this machine as `Z:\folder\file`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let namespaces = Path::new("/proc").join(&self.parent).join("ns");
        let mut command = Command::new("nsenter");
        for (option, name) in [("--mount=", "mnt"), ("--pid=", "pid_for_children")] {
            command.arg(format!("{option}{}", namespaces.join(name).display()));
        }
        wine_environment(&mut command, &self.folder.path().join("prefix"));
        command.arg("--").arg(&self.wine).arg(program);
        command
    }

    /// What was said when it was started, and what the service has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// What was prepared.
fn shared_folder() -> Result<PathBuf, String> {
    let folder = match std::env::var_os(WINDOWS) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/windows"),
    };
    match folder.join("prefix/drive_c/thither/pushyd.exe").exists() {
        true => folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display())),
        false => Err("there is no Windows: `cargo xtask dist windows --tests` makes it".into()),
    }
}

#[cfg(test)]
mod tests;
