//! An archive as lines for a shell over there, where there is neither tar nor Python: `shell.sh`, `unpack`.
//!
//! A line is a call of a function of that script, with quoted words; behind that of a file comes its content. What is in it has been
//! checked as for a tar stream: no path leads through a link, and none out of the root.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::failed::{bad_entry, cut_short};
use super::packer::{Directories, Symlinks};
use super::pax::decimal_seconds;
use super::talk::Outgoing;
use super::{Archive, Entry, Kind};

/// What dd(1) copies at once, in bytes.
const BLOCK: u64 = 65536;

/// The lines and contents of an archive.
pub(super) struct Script {
    archive: Archive,
    /// A line that is ready, and how much of it was read.
    ready: Vec<u8>,
    taken: usize,
    /// What is left of a content.
    left: u64,
    symlinks: Symlinks,
    directories: Directories,
    /// Whether the archive has nothing more, and whether all was said.
    emptied: bool,
    ended: bool,
}

impl Script {
    /// The root will be called `root`.
    pub(super) fn new(archive: Archive) -> Script {
        Script {
            archive,
            ready: Vec::new(),
            taken: 0,
            left: 0,
            symlinks: Symlinks::default(),
            directories: Directories::default(),
            emptied: false,
            ended: false,
        }
    }

    /// Some bytes; 0 at the end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ready.len() && self.left == 0 {
            self.advance()?;
        }
        let ready = &self.ready[self.taken..];
        if !ready.is_empty() {
            let length = ready.len().min(buf.len());
            buf[..length].copy_from_slice(&ready[..length]);
            self.taken += length;
            return Ok(length);
        }
        if self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.archive.read_content(&mut buf[..most])?;
        if read == 0 {
            return Err(cut_short());
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Makes the next line ready.
    fn advance(&mut self) -> io::Result<()> {
        (self.taken, self.left) = (0, 0);
        self.ready.clear();
        if !self.emptied {
            if let Some(entry) = self.archive.next_entry()? {
                return self.write_entry(&entry);
            }
            self.emptied = true;
        }
        match self.directories.deepest() {
            Some(entry) => write_call(
                &mut self.ready,
                "left_folder",
                &[&path(&entry.path), &mode(&entry), &time(&entry)],
            ),
            None if !self.ended => {
                self.ready.extend_from_slice(b"complete\n");
                self.ended = true;
            }
            None => {}
        }
        Ok(())
    }

    fn write_entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.symlinks.check(entry)?;
        let to = &mut self.ready;
        let name = path(&entry.path);
        match &entry.kind {
            Kind::Directory => {
                if !self.directories.add(entry) {
                    return Err(bad_entry(&entry.path, "is one directory too many"));
                }
                write_call(to, "made_folder", &[&name]);
            }
            Kind::Symlink(text) => {
                let text = text.as_os_str().as_bytes();
                write_call(to, "made_link", &[&name, text, &time(entry)]);
            }
            Kind::HardLink(other) => write_call(to, "made_name", &[&name, &path(other)]),
            Kind::File => {
                self.left = entry.size;
                let numbers = [entry.size, entry.size / BLOCK, entry.size % BLOCK];
                let [size, blocks, rest] = numbers.map(|number| number.to_string().into_bytes());
                let words = [&name, &mode(entry), &time(entry), &size, &blocks, &rest];
                write_call(to, "made_file", &words.map(|word| &word[..]));
            }
        }
        Ok(())
    }
}

impl Outgoing for Script {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.archive.idle()
    }
}

/// A path over there, below the directory for what arrives.
fn path(path: &Path) -> Vec<u8> {
    match path.as_os_str().as_bytes() {
        b"" => b"./root".to_vec(),
        path => [b"./root/", path].concat(),
    }
}

fn mode(entry: &Entry) -> Vec<u8> {
    format!("{:o}", entry.mode).into_bytes()
}

fn time(entry: &Entry) -> Vec<u8> {
    decimal_seconds(entry.modified).into_bytes()
}

/// A line of a function and its words.
fn write_call(to: &mut Vec<u8>, function: &str, words: &[&[u8]]) {
    to.extend_from_slice(function.as_bytes());
    for word in words {
        to.push(b' ');
        write_word(to, word);
    }
    to.push(b'\n');
}

/// A word in single quotes, between which POSIX has nothing mean anything but one of them (Shell, 2.2.2). A line break would
/// end the line: it is a variable.
fn write_word(to: &mut Vec<u8>, word: &[u8]) {
    to.push(b'\'');
    for &byte in word {
        match byte {
            b'\'' => to.extend_from_slice(b"'\\''"),
            b'\n' => to.extend_from_slice(b"'\"$nl\"'"),
            byte => to.push(byte),
        }
    }
    to.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &[u8], expected: &str) {
        let mut line = Vec::new();
        write_call(&mut line, "f", &[word]);
        assert_eq!(String::from_utf8(line).unwrap(), format!("f {expected}\n"));
    }

    #[test]
    fn words() {
        check(b"", "''");
        check(b"./root/a b", "'./root/a b'");
        check(b"it's", r"'it'\''s'");
        check(b"a\nb", "'a'\"$nl\"'b'");
        check(br"$(id) `id` \", r"'$(id) `id` \'");
    }

    #[test]
    fn every_shell_reads_the_very_bytes() {
        let mut word: Vec<u8> = (1..=255).chain((1..=255).rev()).collect();
        word.extend_from_slice(b"\\\n\n'\\''$nl\"\n");
        let mut line = Vec::new();
        write_call(&mut line, "printf %s", &[&word]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, &line).unwrap();
        for shell in [&["sh"][..], &["bash"], &["busybox", "sh"]] {
            if testkit::find_program(shell[0]).is_err() {
                continue;
            }
            let script = "nl='\n'\nIFS= read -r line; eval \"$line\"";
            let mut command = std::process::Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", script]).env("LC_ALL", "C");
            let output = command.stdin(file.reopen().unwrap()).output().unwrap();
            assert_eq!(output.stdout.escape_ascii().to_string(), word.escape_ascii().to_string());
        }
    }
}
