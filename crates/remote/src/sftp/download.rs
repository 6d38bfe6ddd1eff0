//! The content of one file over there, asked for in pieces.

use std::collections::BTreeMap;
use std::io;

use super::CHUNK;
use super::failed::broken;

/// Files up to this size are read before their header is given, so that the two always agree.
pub(super) const SMALL: u64 = 2 * CHUNK as u64;
/// How much a file may hold that says it is empty, as those of `/proc` do.
const MAX_UNANNOUNCED: u64 = 16 << 20;
/// How many pieces of the file that is read at the moment are asked for at once: 2 MiB.
const AHEAD: usize = 64;

/// A file that is open over there, or about to be.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) handle: Option<Vec<u8>>,
    is_closed: bool,
    /// As the server has announced it.
    size: u64,
    /// Up to where it was asked for.
    asked: u64,
    /// Up to where it was given.
    given: u64,
    /// What has come and was not given yet, by its offset.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// What came too short, and has to be asked for again.
    again: Vec<(u64, u32)>,
    /// How many pieces are on their way.
    flying: usize,
    /// Where it ends, once that was met.
    end: Option<u64>,
}

impl Download {
    pub(super) fn new(size: u64) -> Download {
        Download {
            handle: None,
            is_closed: false,
            size,
            asked: 0,
            given: 0,
            pieces: BTreeMap::new(),
            again: Vec::new(),
            flying: 0,
            end: None,
        }
    }

    pub(super) fn is_small(&self) -> bool {
        self.size <= SMALL
    }

    /// How many pieces it holds or waits for.
    pub(super) fn held(&self) -> usize {
        self.flying + self.pieces.len()
    }

    /// How many pieces it holds.
    pub(super) fn stored(&self) -> usize {
        self.pieces.len()
    }

    /// The handle, if it is still to be closed; it is not asked for again.
    pub(super) fn close(&mut self) -> Option<Vec<u8>> {
        let handle = self.handle.clone().filter(|_| !self.is_closed)?;
        self.is_closed = true;
        Some(handle)
    }

    /// What is to be asked for next, if `most` pieces may be held: an offset and a length.
    pub(super) fn want(&mut self, most: usize) -> Option<(u64, u32)> {
        self.handle.as_ref()?;
        let is_full = !self.is_small() && self.held() >= most.min(AHEAD);
        let wanted = match self.again.pop() {
            // Perhaps all that is held waits for it.
            Some(again) => Some(again),
            None if is_full => None,
            None if self.end.is_some() => None,
            // Nobody knows how much there is.
            None if self.size == 0 => (self.flying == 0).then_some((self.asked, CHUNK as u32)),
            None if self.asked < self.size => {
                let length = (self.size - self.asked).min(CHUNK as u64) as u32;
                self.asked += u64::from(length);
                Some((self.asked - u64::from(length), length))
            }
            None => None,
        };
        self.flying += usize::from(wanted.is_some());
        wanted
    }

    /// A piece has come.
    pub(super) fn take(&mut self, offset: u64, length: u32, data: Vec<u8>) -> io::Result<()> {
        self.flying -= 1;
        let got = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if got == 0 || got > length {
            return Err(broken("gave more or less of a file than was asked for"));
        }
        if self.size == 0 {
            self.asked = offset + u64::from(got);
            if self.asked > MAX_UNANNOUNCED {
                let text = "it says that it is empty and goes on and on";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            }
        } else if got < length {
            self.again.push((offset + u64::from(got), length - got));
        }
        // So that there are never more pieces than were asked for at first.
        let before = self.pieces.range_mut(..offset).next_back();
        match before.filter(|(at, piece)| **at + piece.len() as u64 == offset) {
            Some((_, piece)) if !offset.is_multiple_of(CHUNK as u64) => piece.extend(data),
            _ => drop(self.pieces.insert(offset, data)),
        }
        Ok(())
    }

    /// The file ends here, or before.
    pub(super) fn ended(&mut self, offset: u64) {
        self.flying -= 1;
        self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
        self.again.retain(|&(at, _)| at < offset);
    }

    /// Its size, once all of it has come that will.
    pub(super) fn complete(&self) -> Option<u64> {
        let rest = self.flying == 0 && self.again.is_empty() && self.handle.is_some();
        let all = self.end.is_some() || self.size > 0 && self.asked == self.size;
        if !rest || !all {
            return None;
        }
        let mut length = self.given;
        for (&offset, piece) in &self.pieces {
            if offset != length {
                break;
            }
            length += piece.len() as u64;
        }
        Some(length)
    }

    /// Whether it has become shorter than what is to be given of it.
    pub(super) fn shrank(&self) -> bool {
        self.end.is_some_and(|end| end <= self.given) && self.given < self.size
    }

    /// What comes next, as far as it is there and fits.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> usize {
        let Some(mut first) = self.pieces.first_entry().filter(|first| *first.key() <= self.given)
        else {
            return 0;
        };
        let start = (self.given - *first.key()) as usize;
        let piece = first.get_mut();
        let length = buf.len().min(piece.len() - start);
        buf[..length].copy_from_slice(&piece[start..start + length]);
        if start + length == piece.len() {
            first.remove();
        }
        self.given += length as u64;
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of `size` from a server that has `there` bytes, and gives `most` at once, the last request first.
    #[track_caller]
    fn check(size: u64, there: u64, most: u32, expected: Result<u64, u64>) {
        let mut download = Download::new(size);
        assert_eq!(download.want(9), None);
        download.handle = Some(b"h".to_vec());
        let mut wanted = Vec::new();
        loop {
            while let Some(want) = download.want(4) {
                wanted.push(want);
            }
            let Some((offset, length)) = wanted.pop() else { break };
            match u32::try_from(there.saturating_sub(offset)).unwrap_or(u32::MAX).min(length) {
                0 => download.ended(offset),
                left => {
                    let bytes = (offset..offset + u64::from(left.min(most))).map(|at| at as u8);
                    download.take(offset, length, bytes.collect()).unwrap();
                }
            }
            let mut byte = [0];
            while download.read(&mut byte) == 1 {
                assert_eq!(byte[0], (download.given - 1) as u8);
            }
        }
        match expected {
            Ok(size) => assert_eq!(download.complete(), Some(size)),
            Err(given) => assert!(download.shrank() && download.given == given),
        }
    }

    #[test]
    fn files() {
        let chunk = CHUNK as u64;
        for most in [u32::MAX, 20_000, 10_000] {
            check(1, 1, most, Ok(1));
            check(chunk, chunk, most, Ok(chunk));
            check(3 * chunk + 7, 3 * chunk + 7, most, Ok(3 * chunk + 7));
            check(3 * chunk, 9 * chunk, most, Ok(3 * chunk));
            check(3 * chunk, chunk + 5, most, Err(chunk + 5));
            check(0, 2 * chunk + 5, most, Ok(2 * chunk + 5));
        }
        check(0, 0, 1, Ok(0));
        check(5, 0, 1, Err(0));
    }

    #[test]
    fn more_or_less_than_was_asked_for() {
        let mut download = Download::new(9);
        download.handle = Some(Vec::new());
        assert_eq!(download.want(9), Some((0, 9)));
        assert!(download.take(0, 9, vec![0; 10]).is_err());
        let mut download = Download::new(0);
        download.handle = Some(Vec::new());
        let error = loop {
            let (offset, length) = download.want(usize::MAX).unwrap();
            match download.take(offset, length, vec![0; CHUNK]) {
                Ok(()) => while download.read(&mut [0; CHUNK]) > 0 {},
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "it says that it is empty and goes on and on");
    }
}
