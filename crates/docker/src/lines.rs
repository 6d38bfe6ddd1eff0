//! An answer that comes line by line, each of bounded length.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::call::Call;
use crate::engine::Engine;
use crate::error::Result;
use crate::http::{Body, Patience};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Lines {
    engine: Engine,
    body: Body,
    held: Vec<u8>,
    longest: usize,
    limit: Duration,
}

impl Engine {
    /// A call whose answer comes in lines of at most so many bytes.
    pub(crate) fn lines(&self, call: &Call<'_>, longest: usize) -> Result<Lines> {
        let limit = self.patience_with(call).limit;
        let (_, body) = self.stream(call)?;
        Ok(Lines { engine: self.clone(), body, held: Vec::new(), longest, limit })
    }
}

impl Lines {
    /// The next line that is not empty, without its end; `None` after the last one.
    pub(crate) fn next_line(&mut self, cancel: Option<BorrowedFd<'_>>) -> Result<Option<Vec<u8>>> {
        let patience = Patience::for_stream(self.limit, cancel);
        loop {
            if let Some(end) = self.held.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line.trim_ascii().to_vec()));
                }
                continue;
            }
            if self.held.len() > self.longest {
                return Err(self.engine.garbage("a line without end"));
            }
            let mut bytes = [0; 16 * 1024];
            let read = self.body.read(&mut bytes, patience);
            match read.map_err(|trouble| self.engine.error(trouble, patience))? {
                0 if self.held.trim_ascii().is_empty() => return Ok(None),
                0 => return Ok(Some(std::mem::take(&mut self.held))),
                n => self.held.extend_from_slice(&bytes[..n]),
            }
        }
    }
}
