//! The content of a file on its way: with its holes, and to whoever wants to see it.

use std::io;

use super::failed::cut_short;
use super::sparse::{Layout, Next};
use super::{Archive, Entry, Part};

type See = dyn FnMut(Part<'_>) + Send;

/// Who sees all that passes.
#[derive(Default)]
pub(super) struct Tap(Option<Box<See>>);

impl Tap {
    pub(super) fn new(tap: Box<See>) -> Tap {
        Tap(Some(tap))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        if let Some(tap) = &mut self.0 {
            tap(Part::Entry(entry));
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(tap) = &mut self.0 {
            tap(Part::Bytes(bytes));
        }
    }

    fn zeros(&mut self, length: u64) {
        if let Some(tap) = &mut self.0 {
            tap(Part::Zeros(length));
        }
    }
}

/// How the content of an entry lies, if it has holes.
pub(super) fn layout(entry: &Entry) -> Option<Box<Layout>> {
    let segments = entry.extra.data.clone();
    segments.map(|segments| Box::new(Layout::new(segments, entry.size)))
}

impl Archive {
    /// Reads from the content of a file with holes, which are zeros; 0 at its end.
    pub(super) fn read_with_holes(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let next = self.layout.as_mut().map_or(Next::End, |layout| layout.next());
        let up_to = |most: u64| usize::try_from(most).unwrap_or(usize::MAX).min(buf.len());
        let read = match next {
            Next::End => return Ok(0),
            _ if buf.is_empty() => return Ok(0),
            Next::Hole(most) => {
                let zeros = up_to(most);
                buf[..zeros].fill(0);
                zeros
            }
            Next::Data { most, .. } => {
                let most = up_to(most);
                self.read_data_part(&mut buf[..most])?
            }
        };
        self.advance(read as u64);
        Ok(read)
    }

    /// Reads from the content of a file with holes, but those: where it lies, and how much it is. `None` at the end.
    pub(super) fn read_data(&mut self, buf: &mut [u8]) -> io::Result<Option<(u64, usize)>> {
        loop {
            let next = self.layout.as_mut().map_or(Next::End, |layout| layout.next());
            match next {
                Next::End => return Ok(None),
                Next::Hole(length) => {
                    self.tap.zeros(length);
                    self.advance(length);
                }
                Next::Data { offset, most } => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(buf.len());
                    let read = self.read_data_part(&mut buf[..most])?;
                    self.tap.bytes(&buf[..read]);
                    self.advance(read as u64);
                    return Ok(Some((offset, read)));
                }
            }
        }
    }

    /// Reads from the content of a file without its holes.
    pub(super) fn read_stored(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.layout {
            Some(_) => Ok(self.read_data(buf)?.map_or(0, |(_, read)| read)),
            None => self.read_content(buf),
        }
    }

    /// Has a hole at the end of a file seen, all of which was read.
    pub(super) fn pass_last_hole(&mut self) -> io::Result<()> {
        match self.layout {
            Some(_) => self.read_data(&mut []).map(drop),
            None => Ok(()),
        }
    }

    fn read_data_part(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_source(buf)? {
            0 => Err(cut_short()),
            read => Ok(read),
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(layout) = &mut self.layout {
            layout.advance(bytes);
        }
    }
}
