//! A process over there as a stream, and an interpreter that is started from over there.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::call_options::CallOptions;
use crate::host::Host;
use crate::marshal::FsString;
use crate::start::arguments;
use crate::stream::Flow;
use crate::{Python, Result, Start};

impl Python {
    /// Starts a program over there, and gives its standard output and input. Its standard error is that of the interpreter,
    /// and so goes to [`Output`](crate::Output).
    ///
    /// The program's input ends when the writer is dropped; once both are, it is ended, and killed if it does not heed that.
    ///
    /// # Errors
    /// `FileNotFoundError` over there, with the program's name, and other kinds of `OSError`; as every call.
    pub fn tunnel(&self, argv: &[impl AsRef<OsStr>]) -> Result<(RemoteReader, RemoteWriter)> {
        let argv: Vec<FsString> = argv.iter().map(|word| word.as_ref().into()).collect();
        let process = Arc::new(Flow::started(self, &argv)?);
        Ok((RemoteReader { process: Arc::clone(&process) }, RemoteWriter { process }))
    }

    /// An interpreter that is started from over there: by its path there, or its name in the `PATH` there. What it prints
    /// goes where `start` says, what it says before it answers to the output of this interpreter. `start.host` is replaced.
    ///
    /// For one that takes more than a program's name to be started, such as `ssh`, take [`tunnel`](Python::tunnel) with
    /// [`arguments`], and [`Start::over_streams`].
    ///
    /// # Errors
    /// As [`tunnel`](Python::tunnel), and when it does not answer.
    pub fn onward(&self, program: impl AsRef<OsStr>, mut start: Start) -> Result<Python> {
        let [option, boot] = arguments();
        let argv = [program.as_ref(), option.as_ref(), boot.as_ref()];
        // A limit of this handle is not one of what the other says and hears.
        let py = Python { session: Arc::clone(&self.session), options: CallOptions::default() };
        let (reader, writer) = py.tunnel(&argv)?;
        start.host = Box::new(Onward { process: Some(Arc::clone(&reader.process)) });
        start.over_streams(reader, writer)
    }
}

/// The standard output of a process over there.
#[derive(Debug)]
pub struct RemoteReader {
    process: Arc<Flow>,
}

/// The standard input of a process over there. What is written has arrived there: nothing is kept here.
#[derive(Debug)]
pub struct RemoteWriter {
    process: Arc<Flow>,
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.process.read(buffer)
    }
}

impl Write for RemoteWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.process.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RemoteReader {
    fn drop(&mut self) {
        self.process.tell("end_reading");
    }
}

impl Drop for RemoteWriter {
    fn drop(&mut self) {
        self.process.tell("end_writing");
    }
}

/// The process of an interpreter that another one has started.
#[derive(Debug)]
struct Onward {
    process: Option<Arc<Flow>>,
}

impl Host for Onward {
    fn ended(&mut self, limit: Duration) -> Option<String> {
        /// Of the way there and back.
        const SLACK: Duration = Duration::from_secs(2);
        let process = self.process.as_ref()?;
        let code: Result<Option<i32>> =
            process.ask_within(limit.saturating_add(SLACK), "exited", (limit.as_secs_f64(),));
        // Nobody knows if nobody can be asked.
        Some(match code.ok()?? {
            code @ 0.. => format!("it ended with exit status: {code}"),
            code => format!("it ended with signal: {}", code.unsigned_abs()),
        })
    }

    fn finish(&mut self) {
        self.process = None;
    }
}
