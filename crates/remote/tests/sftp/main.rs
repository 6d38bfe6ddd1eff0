//! Files by sftp: with OpenSSH's own server, with all that it can and with as little as it can be made to, with enemies, and
//! from far away.

mod put;
mod round;
mod hostile;
mod far;

use std::fs;
use std::io::{self, Cursor, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use thither_place::archive::Event;
use thither_place::{Archive, Local, Place, Process, Result};
use thither_remote::sftp::{self, Session};

/// Where distributions have the server: Debian, Fedora, Alpine, Arch.
const SERVERS: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];
/// What is taken from it to see what is done without.
const EXTENSIONS: &str = "posix-rename,hardlink,lsetstat,limits,statvfs";

/// This machine as a place that has sftp and nothing else.
struct Sftp {
    denied: Option<&'static str>,
}

const FULL: Sftp = Sftp { denied: None };
const BARE: Sftp = Sftp { denied: Some(EXTENSIONS) };
const WAYS: [(&str, &Sftp); 2] = [("sftp", &FULL), ("without extensions", &BARE)];

/// The server's program, or the reason for a skip.
fn program() -> std::result::Result<&'static str, String> {
    let found = SERVERS.into_iter().find(|path| Path::new(path).exists());
    found.ok_or_else(|| "sftp-server is not installed".to_owned())
}

/// Ends a test where there is no server.
macro_rules! need_server {
    () => {
        if let Err(reason) = crate::program() {
            testkit::skip!("{reason}");
        }
    };
}
use need_server;

/// A process that is waited for.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

impl Sftp {
    /// The ends of a server's standard streams.
    fn server(&self) -> (OwnedFd, OwnedFd, Reaped) {
        let mut command = Command::new(program().unwrap());
        if let Some(denied) = self.denied {
            command.args(["-P", denied]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (to.into(), from.into(), Reaped(child))
    }

    fn session(&self) -> Session {
        let (to, from, child) = self.server();
        let session = Session::new(to, from).unwrap().limit(testkit::DEADLINE);
        session.on_loss(move || {
            drop(child);
            io::Error::other("the server is gone")
        })
    }
}

impl Place for Sftp {
    fn spawn(&self, _: &thither_place::Command) -> Result<Process> {
        unreachable!("no command is run")
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        sftp::get(self.session(), path)
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        sftp::put(self.session(), archive, path)
    }
}

/// A folder with what a script of shell makes in it.
fn made(script: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    run(&folder, script);
    folder
}

#[track_caller]
fn run(folder: &TempDir, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-euc", &format!("umask 022; {script}")]).current_dir(folder.path());
    assert!(command.status().unwrap().success(), "{script}");
}

/// An error with its causes.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// What is in a folder: a line per entry with kind, mode, content, number of names and time in whole seconds, in order.
fn shown(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes().escape_ascii();
        let mode = metadata.permissions().mode() & 0o7777;
        let line = match metadata.file_type() {
            kind if kind.is_symlink() => {
                let target = fs::read_link(&path).unwrap();
                format!("{name} -> {}", target.as_os_str().as_bytes().escape_ascii())
            }
            kind if kind.is_dir() => {
                let below = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
                let mut below: Vec<_> = below.collect();
                below.sort_by(|a, b| b.cmp(a));
                todo.extend(below);
                format!("{name}/ {mode:o}")
            }
            kind if kind.is_file() => {
                let content = fs::read(&path).unwrap();
                let content = match content.len() {
                    0..40 => content.escape_ascii().to_string(),
                    length => format!("{length} bytes"),
                };
                format!("{name} {mode:o} {content} x{}", metadata.nlink())
            }
            _ => format!("{name} something else"),
        };
        lines.push(format!("{line} @{}", metadata.mtime()));
    }
    lines
}

/// The same without times and the folder itself.
fn names(folder: &Path) -> Vec<String> {
    let untimed = |line: &String| line.split(" @").next().unwrap_or_default().to_owned();
    shown(folder).iter().skip(1).map(untimed).collect()
}

/// A header of tar by hand, as a program writes it that means no good.
fn header(name: &[u8], flag: u8, link: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name);
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"14717003000\0");
    put(148, b"        ");
    put(156, &[flag]);
    put(157, link);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut entry = header(name, b'0', b"", content.len() as u64);
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

fn directory(name: &[u8]) -> Vec<u8> {
    header(name, b'5', b"", 0)
}

fn symlink(name: &[u8], text: &[u8]) -> Vec<u8> {
    header(name, b'2', text, 0)
}

fn hard_link(name: &[u8], target: &[u8]) -> Vec<u8> {
    header(name, b'1', target, 0)
}

/// An archive as it should end.
fn archive(parts: &[Vec<u8>]) -> Archive {
    let tar = [parts.concat(), vec![0; 1024]].concat();
    Archive::from_tar(Cursor::new(tar), "r")
}
