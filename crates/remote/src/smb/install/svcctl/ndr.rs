//! As much of NDR, DCE 1.1's network data representation (C706, chapter 14), as the calls of a service manager need: little
//! endian, aligned to the beginning of the arguments.
//!
//! What is read may be anybody's bytes: a count is compared with what is left before anything is made of it.

/// Why an answer is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

impl Malformed {
    pub(in super::super) const OTHER_CALL: Malformed = Malformed("it answers another call");
    pub(in super::super) const OUT_OF_TURN: Malformed = Malformed("it is not what comes next");
    pub(in super::super) const ENDLESS: Malformed = Malformed("it is too long");
}

const CUT: Malformed = Malformed("it is cut short");

type Result<T> = std::result::Result<T, Malformed>;

/// Arguments on their way out.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u32(mut self, number: u32) -> Writer {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.bytes(&number.to_le_bytes())
    }

    /// A pointer to nothing.
    pub(super) fn null(self) -> Writer {
        self.u32(0)
    }

    /// A pointer to a text, with the text behind it, as with arguments of a call; C706, 14.3.12.
    pub(super) fn pointer(self, text: &str) -> Writer {
        // Any number that is not 0.
        self.u32(0x0002_0000).string(text)
    }

    /// A text in UTF-16 with its end: `u32 room | u32 offset | u32 length`, in units; C706, 14.3.4.2.
    pub(super) fn string(mut self, text: &str) -> Writer {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        // Our texts are short.
        let count = u32::try_from(units.len()).unwrap_or_default();
        self = self.u32(count).u32(0).u32(count);
        self.0.extend(units.into_iter().flat_map(u16::to_le_bytes));
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Results from their front to their end.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Never beyond the end.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..count).ok_or(CUT)?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn align(&mut self, to: usize) -> Result<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| CUT)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.align(2)?;
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.align(4)?;
        self.array().map(u32::from_le_bytes)
    }

    /// A text in UTF-16, up to its end; what is no UTF-16 is replaced.
    pub(super) fn string(&mut self) -> Result<String> {
        let (room, offset, count) = (self.u32()?, self.u32()?, self.u32()?);
        if offset != 0 || count > room {
            return Err(Malformed("a text has no such part"));
        }
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(2));
        let units = self.take(length.ok_or(CUT)?)?.chunks_exact(2);
        let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let text: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        Ok(String::from_utf16_lossy(&text))
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written() {
        let expected = b"\x01\0\0\0\0\0\x02\0\x03\0\0\0\0\0\0\0\x03\0\0\0h\0i\0\0\0\0\0\x07\0\0\0";
        let written = Writer::default().bytes(&[1]).pointer("hi").u32(7).done();
        assert_eq!(written, expected);
        assert_eq!(Writer::default().null().done(), [0; 4]);
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str>) {
        assert_eq!(Reader::new(bytes).string(), expected.map(str::to_owned));
    }

    #[test]
    fn texts_are_read() {
        check(b"\x03\0\0\0\0\0\0\0\x03\0\0\0h\0i\0\0\0", Ok("hi"));
        check(b"\x02\0\0\0\0\0\0\0\x01\0\0\0h\0", Ok("h"));
        check(b"\0\0\0\0\0\0\0\0\0\0\0\0", Ok(""));
        check(b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\xd8", Ok("\u{fffd}"));
        check(b"\x03\0\0\0\0\0\0\0\x03\0\0\0h\0i\0\0", Err(CUT));
        check(b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xffh\0", Err(CUT));
        check(b"\x01\0\0\0\0\0\0\0\x02\0\0\0h\0i\0", Err(Malformed("a text has no such part")));
        check(b"\x02\0\0\0\x01\0\0\0\x01\0\0\0h\0i\0", Err(Malformed("a text has no such part")));
        check(b"\x02\0", Err(CUT));
    }
}
