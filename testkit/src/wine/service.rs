//! The service in a Windows, and the way from smbd to its pipe.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::Windows;
use crate::{DEADLINE, Pipe, wait_until};

/// What its pipe is called over there.
const NAME: &str = "thither";

/// What the service says once it can be connected to.
const READY: &str = r"serves \\.\pipe\";

/// The service, with a way to it from a pipe of smbd's. Both end when it is dropped.
#[derive(Debug)]
pub struct Service<'a> {
    windows: &'a Windows,
    /// In the foreground, unless somebody else has started it.
    program: Option<Child>,
    bridges: Arc<Bridges>,
    stop: Option<PipeWriter>,
    door: Option<JoinHandle<()>>,
}

/// The programs that carry the connections.
#[derive(Debug, Default)]
struct Bridges(Mutex<Vec<Child>>);

impl Windows {
    /// Starts the service in the foreground, and gives it each client that smbd lets in.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn serve(&self, pipe: Pipe) -> Service<'_> {
        let path = self.folder.path().join("log");
        let log = File::options().append(true).open(path).expect("a log");
        let mut command = self.command(r"C:\thither\pushyd.exe");
        command.args(["run", "--pipe", NAME]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut program = command.stderr(log).spawn().expect("nsenter");
        wait_until(DEADLINE, "the service", || {
            let ended = program.try_wait().expect("a child");
            assert!(ended.is_none(), "the service has ended: {}", self.log());
            self.log().contains(READY)
        });
        let mut service = self.lead(pipe);
        service.program = Some(program);
        service
    }

    /// Gives each client that smbd lets in to a service that somebody else starts.
    ///
    /// # Panics
    /// When there are no more descriptors.
    #[must_use]
    pub fn lead(&self, pipe: Pipe) -> Service<'_> {
        let (stopped, stop) = io::pipe().expect("a pipe");
        let bridges = Arc::<Bridges>::default();
        let (ours, bridge) = (Arc::clone(&bridges), self.bridge());
        let door = thread::spawn(move || admit(&pipe, &stopped, &ours, bridge));
        Service { windows: self, program: None, bridges, stop: Some(stop), door: Some(door) }
    }

    /// What makes the way to the pipe over there.
    fn bridge(&self) -> impl FnMut() -> Child + Send + 'static {
        let mut command = self.command(r"C:\thither\bridge.exe");
        command.arg(NAME).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        move || command.spawn().expect("nsenter")
    }
}

impl Service<'_> {
    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.windows.log()
    }

    /// Cuts all connections: what carries them is killed.
    pub fn cut(&self) {
        self.bridges.lock().iter().for_each(kill);
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.door.take().map(JoinHandle::join);
        self.cut();
        if let Some(program) = &mut self.program {
            kill(program);
            let _ = program.wait();
        }
        for mut bridge in self.bridges.lock().drain(..) {
            let _ = bridge.wait();
        }
    }
}

impl Bridges {
    fn lock(&self) -> MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills what nsenter(1) has started, which then ends, too.
fn kill(nsenter: &Child) {
    let children = format!("/proc/{0}/task/{0}/children", nsenter.id());
    let children = fs::read_to_string(children).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(child, Signal::KILL);
    }
}

/// Lets clients in until it is stopped.
fn admit(pipe: &Pipe, stopped: &PipeReader, bridges: &Bridges, mut bridge: impl FnMut() -> Child) {
    loop {
        let mut fds = [PollFd::new(pipe, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) if !fds[1].revents().is_empty() => return,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => panic!("poll: {error}"),
        }
        // A client that goes at once is none.
        let Ok(stream) = pipe.accept() else { continue };
        let mut child = bridge();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        bridges.lock().push(child);
        carry(stream, stdin.expect("a pipe"), stdout.expect("a pipe"));
    }
}

/// Carries bytes both ways until one of the sides ends.
fn carry(stream: UnixStream, mut stdin: ChildStdin, mut stdout: ChildStdout) {
    let mut client = stream.try_clone().expect("a descriptor");
    thread::spawn(move || {
        let _ = copy(&mut client, &mut stdin);
    });
    let mut client = stream;
    thread::spawn(move || {
        let _ = copy(&mut stdout, &mut client);
        let _ = client.shutdown(Shutdown::Both);
    });
}

/// As [`io::copy`], whose splice(2) would wait for more here.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}
