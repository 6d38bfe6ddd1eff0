//! Files with holes: where their data is, by the file system and as GNU tar says it in pax headers.
//!
//! The format is that of GNU tar's manual, "Storing Sparse Files". In version 1.0, which is written, the map stands before the
//! content, in decimal numbers with a line each: how many segments, then offset and length of each; up to the next block. In
//! version 0.1 it is a record: `GNU.sparse.map=OFFSET,LENGTH,...`.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::header::BLOCK;

/// A part of a file that has content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Segment {
    fn end(self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }
}

/// How many parts a file may have: 16 bytes of memory each.
pub(super) const MAX_SEGMENTS: usize = 1 << 20;

/// How many bytes of content these parts have.
pub(super) fn stored(segments: &[Segment]) -> u64 {
    segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.length))
}

/// Checks what an archive says of a file of this size: in order, and within it. Empty parts, of which tar(1) puts one at the
/// end, are left out.
pub(super) fn checked(segments: Vec<Segment>, size: u64) -> Option<Vec<Segment>> {
    let mut end = 0;
    for segment in &segments {
        if segment.offset < end {
            return None;
        }
        end = segment.end().filter(|&end| end <= size)?;
    }
    Some(segments.into_iter().filter(|segment| segment.length > 0).collect())
}

/// Where a file has data from `start` on, counted from there; `None` where its file system knows of no holes. A file with more
/// parts than there is memory for has the rest as one.
///
/// # Errors
/// As lseek(2).
pub(super) fn segments_of(file: &File, start: u64, size: u64) -> io::Result<Option<Vec<Segment>>> {
    let end = start.saturating_add(size);
    let mut segments = Vec::new();
    let mut at = start;
    while at < end {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) if data < end => data,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let hole = match segments.len() + 1 < MAX_SEGMENTS {
            true => seek(file, SeekFrom::Hole(data)).unwrap_or(end).clamp(data, end),
            false => end,
        };
        segments.push(Segment { offset: data - start, length: hole - data });
        at = hole;
    }
    seek(file, SeekFrom::Start(start))?;
    let is_whole = matches!(segments[..], [Segment { offset: 0, length }] if length == size);
    Ok((!is_whole).then_some(segments))
}

/// The map of version 1.0, filled up to whole blocks.
pub(super) fn map(segments: &[Segment], size: u64) -> Vec<u8> {
    // As GNU's own: the last part is an empty one at the end, by which the size is known.
    let end = Segment { offset: size, length: 0 };
    let mut map = format!("{}\n", segments.len() + 1).into_bytes();
    for Segment { offset, length } in segments.iter().chain([&end]) {
        map.extend_from_slice(format!("{offset}\n{length}\n").as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// Reads a map of version 1.0, byte by byte, of which nothing is believed.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    expected: Option<usize>,
    offset: Option<u64>,
    digits: Option<u64>,
    segments: Vec<Segment>,
}

impl MapReader {
    /// Takes what follows, and says whether the map has ended.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, &'static str> {
        const WRONG: &str = "the map of a sparse file is malformed";
        if byte.is_ascii_digit() {
            let value = self.digits.unwrap_or(0).checked_mul(10);
            let value = value.and_then(|value| value.checked_add(u64::from(byte - b'0')));
            self.digits = Some(value.ok_or(WRONG)?);
            return Ok(false);
        }
        let number = self.digits.take().filter(|_| byte == b'\n').ok_or(WRONG)?;
        match (self.expected, self.offset.take()) {
            (None, _) => {
                let count = usize::try_from(number).ok().filter(|&count| count <= MAX_SEGMENTS);
                self.expected = Some(count.ok_or("a sparse file has too many parts")?);
            }
            (_, None) => self.offset = Some(number),
            (_, Some(offset)) => self.segments.push(Segment { offset, length: number }),
        }
        Ok(self.offset.is_none() && self.expected == Some(self.segments.len()))
    }

    pub(super) fn segments(self) -> Vec<Segment> {
        self.segments
    }
}

/// A map of version 0.1.
pub(super) fn parse_list(text: &[u8]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut numbers = text.split(|&byte| byte == b',');
    while let Some(offset) = numbers.next() {
        let (offset, length) =
            (super::pax::decimal(offset)?, super::pax::decimal(numbers.next()?)?);
        segments.push(Segment { offset, length });
        if segments.len() > MAX_SEGMENTS {
            return None;
        }
    }
    Some(segments)
}

/// How far the content of a file with holes was read.
#[derive(Debug)]
pub(super) struct Layout {
    segments: std::vec::IntoIter<Segment>,
    /// What is left of the part that is read.
    current: Option<Segment>,
    /// Up to where all was given.
    at: u64,
    size: u64,
}

/// What comes next.
pub(super) enum Next {
    /// So many bytes of nothing.
    Hole(u64),
    /// At most so many bytes of content, from there on.
    Data {
        offset: u64,
        most: u64,
    },
    End,
}

impl Layout {
    pub(super) fn new(segments: Vec<Segment>, size: u64) -> Layout {
        Layout { segments: segments.into_iter(), current: None, at: 0, size }
    }

    pub(super) fn next(&mut self) -> Next {
        if self.current.is_none_or(|segment| segment.length == 0) {
            self.current = self.segments.next();
        }
        match self.current {
            Some(Segment { offset, .. }) if offset > self.at => Next::Hole(offset - self.at),
            Some(Segment { offset, length }) => Next::Data { offset, most: length },
            None if self.at < self.size => Next::Hole(self.size - self.at),
            None => Next::End,
        }
    }

    /// Says that so much of what comes next was given.
    pub(super) fn advance(&mut self, bytes: u64) {
        if let Some(segment) = self.current.as_mut().filter(|segment| segment.offset == self.at) {
            segment.offset += bytes;
            segment.length -= bytes;
        }
        self.at += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<Segment>, String> {
        let mut reader = MapReader::default();
        for &byte in text {
            if reader.take(byte)? {
                return Ok(reader.segments());
            }
        }
        Err("more".into())
    }

    #[track_caller]
    fn check(text: &str, size: u64, expected: &str) {
        let found = read(text.as_bytes());
        let found = found.and_then(|found| checked(found, size).ok_or("out of order".into()));
        let found = found.map(|found| {
            let part = |it: &Segment| format!("{}+{}", it.offset, it.length);
            found.iter().map(part).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(found.unwrap_or_else(|error| error), expected, "{text:?}");
    }

    #[test]
    fn maps() {
        check("0\n", 5, "");
        check("1\n5\n0\n", 5, "");
        check("2\n0\n3\n4\n1\n", 5, "0+3 4+1");
        check("2\n0\n3\n4\n2\n", 5, "out of order");
        check("2\n1\n3\n0\n1\n", 5, "out of order");
        check("1\n18446744073709551615\n2\n", 5, "out of order");
        check("1\n18446744073709551616\n", 5, "the map of a sparse file is malformed");
        check("\n", 5, "the map of a sparse file is malformed");
        check("1\n-1\n", 5, "the map of a sparse file is malformed");
        check("1048577\n", 5, "a sparse file has too many parts");
        check("1\n0\n", 5, "more");
        let segments = [Segment { offset: 1 << 40, length: 9 }];
        let text = map(&segments, 1 << 41);
        assert_eq!(text.len(), BLOCK);
        assert_eq!(checked(read(&text).unwrap(), 1 << 41).unwrap(), segments);
        assert_eq!(parse_list(b"0,3,7,1").map(|it| it.len()), Some(2));
        assert_eq!(parse_list(b"0,3,7"), None);
    }
}
