//! Files on their way: tar streams and trees, honest and hostile, against the real file system and real tars.

mod round;
mod hostile;
mod put;
mod command;
mod shell;
mod attempt;
mod filtered;
mod preserved;
mod sparse;
mod changed;
mod verified;

use std::fs;
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;
use thither_place::archive::{Event, Kind};
use thither_place::{Archive, Local, Place};

/// A header by hand, as a program writes it that means no good: all that it says is what it is told.
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
    checked(block)
}

/// With its checksum.
fn checked(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A file's header and content.
fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    with_content(header(name, b'0', b"", content.len() as u64), content)
}

fn with_content(mut entry: Vec<u8>, content: &[u8]) -> Vec<u8> {
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
fn tar(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

fn archive(bytes: Vec<u8>) -> Archive {
    Archive::from_tar(Cursor::new(bytes), "root")
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

/// A folder, and what is in it: a line per entry with kind, mode, time and content, in order.
fn shown(folder: &Path) -> String {
    let mut text = String::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes().escape_ascii();
        let mode = metadata.permissions().mode() & 0o7777;
        text += &match metadata.file_type() {
            kind if kind.is_symlink() => {
                let target = fs::read_link(&path).unwrap();
                format!("{name} -> {}", target.as_os_str().as_bytes().escape_ascii())
            }
            kind if kind.is_dir() => {
                let mut below: Vec<_> =
                    fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
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
                format!("{name} {mode:o} {content:?} x{}", metadata.nlink())
            }
            _ => format!("{name} something else"),
        };
        text += &format!(" @{}.{:09}\n", metadata.mtime(), metadata.mtime_nsec());
    }
    text
}

/// The same without modes and times of what is in it.
fn names(folder: &Path) -> Vec<String> {
    let lines = shown(folder);
    let first = |line: &str| line.split(" @").next().unwrap_or_default().to_owned();
    lines.lines().skip(1).map(first).collect()
}
