//! An smbd to be measured through, a daemon of ours behind one of its pipes, and a peer without a wire behind another.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::{DEADLINE, Pipe, Smbd, wait_until};

use crate::Result;
use crate::bench::files::text;
use crate::bench::rounds::catch;

const OURS: &str = "thither";
const RAW: &str = "raw";
const WIRE: &str = "wire";
/// Kinds of frames, each before u32be length and a body; see `place::wire`.
const INPUT: u8 = 0x03;
const END_INPUT: u8 = 0x04;
const OUTPUT: u8 = 0x84;
/// `thither` and version 1; that it runs; and that it has ended with code 0.
const WELCOME: &[u8] = b"\x81\0\0\0\x09thither\0\x01";
const STARTED: &[u8] = b"\x82\0\0\0\x04\0\0\0\0";
const EXITED: &[u8] = b"\x88\0\0\0\x05\0\0\0\0\0";

/// Both pipes. All of it ends when this is dropped.
pub(super) struct Host {
    daemon: Child,
    smbd: Smbd,
    folder: TempDir,
}

impl Host {
    /// Starts them.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(super) fn start(ours: &Path) -> Result<Host> {
        let failed = |error: io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(failed)?;
        let smbd = catch(Smbd::start)?;
        serve(catch(|| Ok(smbd.pipe(RAW)))?, answer);
        serve(catch(|| Ok(smbd.pipe(WIRE)))?, echo_frames);
        fs::write(folder.path().join("password"), smbd.password()).map_err(failed)?;
        let log = File::create(folder.path().join("log")).map_err(failed)?;
        let mut daemon = Command::new(ours);
        daemon.args(["serve", "--allow-root", "--samba-pipe", OURS, "--samba-user", smbd.user()]);
        daemon.arg("--samba-folder").arg(smbd.pipes()).env_clear().current_dir("/");
        daemon.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", folder.path());
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = daemon.spawn().map_err(failed)?;
        let host = Host { daemon, smbd, folder };
        catch(|| {
            wait_until(DEADLINE, "a daemon that listens", || {
                let log = fs::read_to_string(host.folder.path().join("log"));
                log.unwrap_or_default().contains("listening")
            });
            Ok(())
        })?;
        Ok(host)
    }

    fn password(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// The address of our daemon.
    pub(super) fn place(&self) -> String {
        let (user, port) = (self.smbd.user(), self.smbd.port());
        format!("smb:{user}@127.0.0.1:{port}?password-file={}", self.password().display())
    }

    /// The address of a peer that speaks our wire, but has no process: it sends all input back.
    pub(super) fn wire(&self) -> String {
        format!("{}&pipe={WIRE}", self.place())
    }

    /// What `pipe_floor` is told, but for its last argument.
    pub(super) fn raw(&self) -> Vec<String> {
        let port = self.smbd.port().to_string();
        vec![port, self.smbd.user().into(), text(&self.password()), RAW.into()]
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

/// Does this with each client.
fn serve(pipe: Pipe, answer: fn(&mut UnixStream) -> io::Result<()>) {
    thread::spawn(move || {
        while let Ok(mut stream) = pipe.accept() {
            // A client that has gone is none of our business.
            thread::spawn(move || drop(answer(&mut stream)));
        }
    });
}

/// Whatever it is that shall run; there is no credit for more than a window of input.
fn echo_frames(stream: &mut UnixStream) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    stream.write_all(WELCOME)?;
    let mut is_started = false;
    loop {
        stream.read_exact(&mut chunk[..5])?;
        let [_, length @ ..] = *chunk.first_chunk::<5>().unwrap_or(&[0; 5]);
        let end = 5 + u32::from_be_bytes(length) as usize;
        let frame = chunk.get_mut(..end).ok_or(io::ErrorKind::InvalidData)?;
        stream.read_exact(&mut frame[5..])?;
        match frame[0] {
            INPUT => {
                frame[0] = OUTPUT;
                stream.write_all(frame)?;
            }
            END_INPUT => stream.write_all(EXITED)?,
            // The request comes after the greeting.
            2 if !is_started => {
                is_started = true;
                stream.write_all(STARTED)?;
            }
            _ => {}
        }
    }
}

/// Does what `pipe_floor` says.
fn answer(stream: &mut UnixStream) -> io::Result<()> {
    let mut wish = [0];
    stream.read_exact(&mut wish)?;
    if wish == *b"d" {
        let mut count = [0; 8];
        stream.read_exact(&mut count)?;
        copy(&mut io::repeat(0).take(u64::from_be_bytes(count)), stream)?;
    }
    if wish == *b"c" {
        return cat(stream);
    }
    // smbd drops what it has not handed on, when we end first.
    copy(stream, &mut stream.try_clone()?)
}

/// By a process, as all services of commands do: a thread for each of its streams.
fn cat(stream: &mut UnixStream) -> io::Result<()> {
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (stdin, stdout) = (cat.stdin.take(), cat.stdout.take());
    let mut back = stream.try_clone()?;
    let output = thread::spawn(move || stdout.map(|mut stdout| copy(&mut stdout, &mut back)));
    let _ = stdin.map(|mut stdin| copy(stream, &mut stdin));
    cat.wait()?;
    let _ = output.join();
    Ok(())
}

/// Until the end.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    while let n @ 1.. = from.read(&mut chunk)? {
        to.write_all(&chunk[..n])?;
    }
    Ok(())
}
