//! A tar stream on its way to an engine.

use std::io;
use std::time::{Duration, Instant};

use thither_place::archive::Tar;

use crate::call::Call;
use crate::engine::Engine;
use crate::error::Error;
use crate::http::{Body, Patience, Request, Trouble};

/// What is read and sent at once, in bytes.
const CHUNK: usize = 256 * 1024;
/// After how long without anything those who watch are told.
pub(crate) const TICK: Duration = Duration::from_millis(200);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Why it failed.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The engine's doing.
    Engine(Error),
    /// What was to be sent could not be read, or who watches has ended it.
    Source(io::Error),
}

impl Engine {
    /// A call whose body is a tar stream, in chunks: the engine knows of a stream that is cut short.
    pub(crate) fn upload(&self, call: &Call<'_>, tar: &mut Tar) -> Result<(), UploadError> {
        let target = self.target(call).map_err(UploadError::Engine)?;
        let mut headers = self.all_headers(call);
        headers.push(("Content-Type".into(), "application/x-tar".into()));
        let request = Request {
            method: "PUT",
            target: &target,
            body: None,
            headers: &headers,
            upgrade: false,
            chunked: true,
        };
        let whole = Patience::for_stream(self.patience_with(call).limit, None);
        let patience = Patience { limit: TICK, ..whole };
        let failed = |trouble| UploadError::Engine(self.error(trouble, whole));
        let mut connection = self.dial(whole).map_err(UploadError::Engine)?;
        connection.send(&request, whole).map_err(failed)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let filled = tar.fill(&mut chunk).map_err(UploadError::Source)?;
            let mut message = format!("{filled:x}\r\n").into_bytes();
            message.extend_from_slice(&chunk[..filled]);
            message.extend_from_slice(b"\r\n");
            let mut left = &message[..];
            let mut since = Instant::now();
            while !left.is_empty() {
                match connection.write_some(left, patience) {
                    Ok(sent) => {
                        left = &left[sent..];
                        since = Instant::now();
                    }
                    Err(Trouble::Silent) if since.elapsed() < whole.limit => {
                        tar.idle().map_err(UploadError::Source)?;
                    }
                    // It may have said why before it closed.
                    Err(Trouble::Lost(source)) => {
                        return Err(match connection.head(whole) {
                            Ok(head) => {
                                UploadError::Engine(self.complaint(connection, &head, whole))
                            }
                            Err(_) => failed(Trouble::Lost(source)),
                        });
                    }
                    Err(trouble) => return Err(failed(trouble)),
                }
            }
            // The empty chunk has ended the body.
            if filled == 0 {
                break;
            }
        }
        let since = Instant::now();
        let head = loop {
            // The engine is still unpacking.
            match connection.await_answer(patience) {
                Ok(()) => break connection.head(whole).map_err(failed)?,
                Err(Trouble::Silent) if since.elapsed() < whole.limit => {
                    tar.idle().map_err(UploadError::Source)?;
                }
                Err(trouble) => return Err(failed(trouble)),
            }
        };
        let mut body = Body::new(connection, &head, false).map_err(failed)?;
        self.check(&head, &mut body, whole).map_err(UploadError::Engine)?;
        body.read_all(MAX_ANSWER, whole).map(drop).map_err(failed)
    }
}
