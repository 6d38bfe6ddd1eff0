//! As much of NDR, DCE 1.1's network data representation (C706, chapter 14), as Samba's request needs: little endian, aligned
//! to the message's beginning, pointers whose referents come later.
//!
//! What is read may be anybody's bytes: a count is compared with what is left before anything is made of it, and nothing is
//! nested, since a reader goes forward only, in the order of its callers' code.

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

const CUT: Malformed = Malformed("it is cut short");

type Result<T> = std::result::Result<T, Malformed>;

/// A message from its front to its end.
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

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Passes over padding, up to a multiple of a power of two. What is in it says nothing.
    pub(super) fn align(&mut self, to: usize) -> Result<()> {
        let padding = self.at.next_multiple_of(to) - self.at;
        self.take(padding).map(drop)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..count).ok_or(CUT)?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| CUT)
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

    /// A hyper, which is aligned to 8. Samba's `NTTIME` is two of [`u32`](Reader::u32).
    pub(super) fn u64(&mut self) -> Result<u64> {
        self.align(8)?;
        self.array().map(u64::from_le_bytes)
    }

    /// A unique pointer: whether there is something, which comes later.
    pub(super) fn pointer(&mut self) -> Result<bool> {
        self.u32().map(|referent| referent != 0)
    }

    /// A count of elements of at least so many bytes each, all of which are still to come.
    pub(super) fn count(&mut self, size: usize) -> Result<usize> {
        let count = usize::try_from(self.u32()?).map_err(|_| CUT)?;
        match count.checked_mul(size) {
            Some(bytes) if bytes <= self.left() => Ok(count),
            _ => Err(CUT),
        }
    }

    /// Bytes behind their number: Samba's `DATA_BLOB`.
    pub(super) fn blob(&mut self) -> Result<&'a [u8]> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// A conformant and varying string of UTF-8 with a NUL at its end, which is not given, and nowhere else.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        let (most, offset) = (self.u32()?, self.u32()?);
        let length = self.count(1)?;
        if offset != 0 || usize::try_from(most).is_ok_and(|most| most < length) {
            return Err(Malformed("a string is longer than it says"));
        }
        let text = match self.take(length)? {
            [text @ .., 0] if !text.contains(&0) => text,
            _ => return Err(Malformed("a string does not end with its only NUL")),
        };
        std::str::from_utf8(text).map_err(|_| Malformed("a string is not UTF-8"))
    }

    /// The string of a pointer that was read before.
    pub(super) fn string_if(&mut self, there: bool) -> Result<Option<&'a str>> {
        there.then(|| self.string()).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_string(bytes: &[u8], expected: std::result::Result<&str, &str>) {
        let found = Reader::new(bytes).string();
        assert_eq!(found.map_err(|Malformed(why)| why), expected);
    }

    #[test]
    fn strings() {
        let string = |most: u32, offset: u32, length: u32, text: &[u8]| {
            let numbers = [most, offset, length].map(u32::to_le_bytes);
            [numbers.as_flattened(), text].concat()
        };
        check_string(&string(3, 0, 3, "ü\0".as_bytes()), Ok("ü"));
        check_string(&string(9, 0, 1, b"\0"), Ok(""));
        check_string(&string(2, 0, 3, b"ab\0"), Err("a string is longer than it says"));
        check_string(&string(3, 1, 3, b"ab\0"), Err("a string is longer than it says"));
        let unended = Err("a string does not end with its only NUL");
        check_string(&string(3, 0, 3, b"abc"), unended);
        check_string(&string(3, 0, 3, b"a\0\0"), unended);
        check_string(&string(0, 0, 0, b""), unended);
        check_string(&string(2, 0, 2, b"\xff\0"), Err("a string is not UTF-8"));
        check_string(&string(u32::MAX, 0, u32::MAX, b"a\0"), Err("it is cut short"));
        check_string(&string(4, 0, 4, b"a\0")[..13], Err("it is cut short"));
        check_string(b"\x01\0", Err("it is cut short"));
    }

    #[test]
    fn numbers_stand_at_their_multiples() {
        let bytes: Vec<u8> = (0..32).collect();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(0));
        assert_eq!(reader.u16(), Ok(0x0302));
        assert_eq!(reader.u8(), Ok(4));
        assert_eq!(reader.u32(), Ok(0x0b0a_0908));
        assert_eq!(reader.u64(), Ok(0x1716_1514_1312_1110));
        assert_eq!(reader.u8(), Ok(24));
        assert_eq!(reader.u64(), Err(CUT));
        assert_eq!(reader.left(), 7 - 7, "padding is passed over first");
    }

    #[test]
    fn counts_are_not_believed() {
        let counted = |count: u32, rest: usize| {
            let bytes = [&count.to_le_bytes()[..], &vec![0; rest]].concat();
            Reader::new(&bytes).count(8)
        };
        assert_eq!(counted(2, 16), Ok(2));
        assert_eq!(counted(2, 15), Err(CUT));
        assert_eq!(counted(u32::MAX, 64), Err(CUT));
    }
}
