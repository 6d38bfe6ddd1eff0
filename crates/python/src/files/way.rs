//! A place's own way for files.
//!
//! The interpreter still says which file it is and what is wrong with it, and gives a file that has come its name. Only the
//! content goes the other way. Whether that leads to the same file is looked at, since the interpreter may be another user, in
//! another root, or see other mounts; if not, or if anything fails, the content goes through the interpreter.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{CHUNK, Temporary};
use crate::call_options::CallOptions;
use crate::connection::Connection;
use crate::marshal::FsString;
use crate::{Error, Object, Python, Result};

/// How often is looked whether a copy was given up, while nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// A way to the files over there that does not lead through the interpreter. All paths are absolute and without links.
pub trait Files: Send + Sync + fmt::Debug {
    /// The content of the regular file of this size, in bytes, and time of change, in nanoseconds since 1970: of these as
    /// much is compared as the way tells.
    ///
    /// # Errors
    /// When it is another file, or none, or when the way fails. Nobody sees why: it goes through the interpreter then.
    fn read(&self, path: &Path, size: u64, changed: i64, going: Going)
    -> io::Result<Box<dyn Read>>;

    /// Makes a new file of the mode 0600 and of `size` bytes of content. It has to be in the folder of the file `known`, which
    /// was made just now: a way that does not see that one leads elsewhere.
    ///
    /// # Errors
    /// As [`read`](Files::read); then it has left nothing.
    fn write(
        &self,
        path: &Path,
        known: &Path,
        size: u64,
        content: Box<dyn Read + Send>,
        going: Going,
    ) -> io::Result<()>;
}

/// Whether a copy goes on.
#[derive(Clone)]
pub struct Going {
    connection: Arc<Connection>,
    options: CallOptions,
    moved: Arc<Mutex<Instant>>,
}

impl fmt::Debug for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Going").finish_non_exhaustive()
    }
}

impl Going {
    fn of(python: &Python) -> Going {
        Going {
            connection: Arc::clone(&python.session.connection),
            options: python.options.clone(),
            moved: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// To be asked now and then by a way that waits.
    ///
    /// # Errors
    /// When the copy was given up, took too long, or the interpreter is gone.
    pub fn check(&self) -> io::Result<()> {
        self.stopped().map_or(Ok(()), |error| Err(io::Error::other(error)))
    }

    fn stopped(&self) -> Option<Error> {
        if self.options.cancel.as_ref().is_some_and(crate::Cancel::is_cancelled) {
            return Some(Error::Cancelled);
        }
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        match self.options.timeout {
            Some(limit) if moved.elapsed() > limit => Some(Error::TimedOut { limit }),
            _ => self.connection.ended(),
        }
    }

    fn moved(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// What is the end of the copy, and not of this way alone.
    fn because(&self, error: &io::Error) -> Result<()> {
        match self.stopped() {
            Some(error) => Err(error),
            None => {
                tracing::debug!(%error, "a file goes through the interpreter");
                Ok(())
            }
        }
    }
}

impl Python {
    /// Copies the content here; whether it could.
    pub(super) fn get_by_way(
        &self,
        file: &Object,
        temporary: &mut Temporary,
        size: u64,
        changed: i64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool> {
        let Some(files) = &self.session.files else { return Ok(false) };
        let Some(path) = file.call_method0::<Option<FsString>>("real")? else { return Ok(false) };
        let going = Going::of(self);
        let mut content = match files.read(&path_of(path), size, changed, going.clone()) {
            Ok(content) => content,
            Err(error) => return going.because(&error).map(|()| false),
        };
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut done = 0;
        while done < size {
            chunk.clear();
            let most = (size - done).min(CHUNK as u64);
            let mut part = (&mut content).take(most);
            let read = going.check().and_then(|()| part.read_to_end(&mut chunk));
            let whole = read.and_then(|read| match read as u64 == most {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            });
            if let Err(error) = whole {
                going.because(&error)?;
                temporary.restart()?;
                return Ok(false);
            }
            temporary.write(&chunk)?;
            going.moved();
            done += most;
            progress(done);
        }
        going.stopped().map_or(Ok(true), Err)
    }

    /// Copies the content to there; whether it could, and `upload` has it now.
    pub(super) fn put_by_way(
        &self,
        upload: &Object,
        file: &File,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool> {
        let Some(files) = &self.session.files else { return Ok(false) };
        let names: Option<(FsString, FsString)> = upload.call_method0("beside")?;
        let Some((known, path)) = names.map(|(known, path)| (path_of(known), path_of(path))) else {
            return Ok(false);
        };
        let going = Going::of(self);
        let (tell, told) = sync_channel(1);
        let file = file.try_clone().map_err(|error| Error::io("copy a descriptor", error))?;
        let content = Content { file, at: 0, size, going: going.clone(), tell };
        let written = thread::scope(|scope| {
            let work = || files.write(&path, &known, size, Box::new(content), going.clone());
            let worker =
                thread::Builder::new().name("thither-file".into()).spawn_scoped(scope, work);
            let worker = worker.map_err(|error| Error::io("start a thread", error))?;
            loop {
                match told.recv_timeout(TICK) {
                    Ok(done) => progress(done),
                    Err(RecvTimeoutError::Timeout) if going.stopped().is_none() => {}
                    Err(_) => break,
                }
            }
            // Nothing more is read, and so it ends.
            drop(told);
            Ok::<_, Error>(worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })?;
        if let Err(error) = written {
            return going.because(&error).map(|()| false);
        }
        going.stopped().map_or(Ok(()), Err)?;
        upload.call_method1("adopt", (size,))
    }
}

fn path_of(path: FsString) -> PathBuf {
    path.0.into()
}

/// A file of this side as the way reads it; each whole chunk, and the end, is told.
struct Content {
    file: File,
    at: u64,
    size: u64,
    going: Going,
    tell: SyncSender<u64>,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.going.check()?;
        let chunk = CHUNK as u64;
        let most = (self.size - self.at).min(chunk - self.at % chunk).min(buffer.len() as u64);
        // No more than a chunk.
        let read = self.file.read_at(&mut buffer[..most as usize], self.at)?;
        self.at += read as u64;
        self.going.moved();
        if read > 0 && (self.at.is_multiple_of(chunk) || self.at == self.size) {
            let told = self.tell.send(self.at);
            told.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(read)
    }
}
