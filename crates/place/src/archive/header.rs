//! One block of a tar archive: the header of an entry, as POSIX.1-1988 ("ustar") lays it out, with GNU's numbers.

use super::preserve::{Extra, Owner};

/// The unit of an archive, in bytes.
pub(crate) const BLOCK: usize = 512;
/// One of them.
pub(crate) type Block = [u8; BLOCK];

/// When something was changed last: since 1970, the nanoseconds always forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after that, below 1 000 000 000.
    pub nanoseconds: u32,
}

/// What a header says, before extensions change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The name, bytes without NUL.
    pub(crate) name: Vec<u8>,
    /// What a link names.
    pub(crate) link: Vec<u8>,
    /// The type flag: `0` a file, `5` a directory, and so on.
    pub(crate) flag: u8,
    /// Permission bits.
    pub(crate) mode: u32,
    /// How many bytes of content follow.
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
    /// The owner; without one it is written as root. Of the rest a header says nothing itself.
    pub(crate) extra: Extra,
}

// The fields: where they begin, and how long they are.
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const MTIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const FLAG: usize = 156;
const LINK: (usize, usize) = (157, 100);
const MAGIC: (usize, usize) = (257, 8);
const PREFIX: (usize, usize) = (345, 155);

/// The greatest number that eleven octal digits hold.
pub(crate) const OCTAL_MAX: u64 = 0o777_7777_7777;

impl Header {
    /// Reads a block; `None` for one of zeros, which ends an archive.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(block: &Block) -> Result<Option<Header>, &'static str> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let sum = number(field(block, CHECKSUM)).ok_or("a header's checksum is no number")?;
        // Old programs added signed bytes.
        let (unsigned, signed) = checksums(block);
        if sum != unsigned && sum != signed {
            return Err("a header's checksum is wrong");
        }
        let mut name = text(field(block, NAME)).to_vec();
        // GNU's own magic, "ustar" and two spaces, has other things where POSIX has the prefix.
        let prefix = text(field(block, PREFIX));
        if field(block, MAGIC).starts_with(b"ustar\0") && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let size = number(field(block, SIZE)).ok_or("a size is no number")?;
        let mode = number(field(block, MODE)).ok_or("a mode is no number")?;
        Ok(Some(Header {
            name,
            link: text(field(block, LINK)).to_vec(),
            flag: block[FLAG],
            mode: (mode & 0o7777) as u32,
            size: u64::try_from(size).map_err(|_| "a size is negative")?,
            modified: Timestamp {
                seconds: number(field(block, MTIME)).ok_or("a time is no number")?,
                nanoseconds: 0,
            },
            extra: Extra { owner: owner(block), ..Extra::default() },
        }))
    }

    /// The block. What does not fit is cut off: the caller has said it before by an extension.
    pub(crate) fn to_block(&self) -> Block {
        let mut block = [0; BLOCK];
        let (prefix, name) = split_name(&self.name).unwrap_or((b"", &self.name));
        put(&mut block, NAME, name);
        put(&mut block, PREFIX, prefix);
        put(&mut block, LINK, &self.link);
        put_number(&mut block, MODE, i64::from(self.mode));
        let owner = self.extra.owner.unwrap_or(Owner { uid: 0, gid: 0 });
        put_number(&mut block, UID, owner.uid.into());
        put_number(&mut block, GID, owner.gid.into());
        put_number(&mut block, SIZE, i64::try_from(self.size).unwrap_or(i64::MAX));
        put_number(&mut block, MTIME, self.modified.seconds);
        block[FLAG] = self.flag;
        put(&mut block, MAGIC, b"ustar\x0000");
        let (sum, _) = checksums(&block);
        put(&mut block, CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// A name as a prefix of at most 155 bytes and a rest of at most 100, which a `/` joins; `None` if it cannot be split.
pub(crate) fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME.1 {
        return Some((b"", name));
    }
    // The slash at the end of a directory's name leaves no rest.
    let first = name.len() - NAME.1 - 1;
    let slash = (first..name.len() - 1).find(|&at| name[at] == b'/')?;
    (1..=PREFIX.1).contains(&slash).then(|| (&name[..slash], &name[slash + 1..]))
}

/// Whose it is; nobody's if the numbers are none.
fn owner(block: &Block) -> Option<Owner> {
    let id = |at| u32::try_from(number(field(block, at))?).ok();
    Some(Owner { uid: id(UID)?, gid: id(GID)? })
}

fn field(block: &Block, (start, length): (usize, usize)) -> &[u8] {
    &block[start..start + length]
}

/// A text up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// The sum of all bytes, with spaces for the checksum's own: of unsigned and of signed ones.
fn checksums(block: &Block) -> (i64, i64) {
    let own = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    let bytes = block.iter().enumerate();
    let bytes = bytes.map(|(at, &byte)| if own.contains(&at) { b' ' } else { byte });
    bytes.fold((0, 0), |(unsigned, signed), byte| {
        (unsigned + i64::from(byte), signed + i64::from(byte.cast_signed()))
    })
}

/// A number: octal digits with spaces or NULs around them, or GNU's base 256, marked by the highest bit.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement without the mark. Twelve bytes are 95 bits.
        let sign = if first & 0x40 != 0 { -0x40 } else { 0 };
        let start = sign + i128::from(first & 0x3f);
        let value = rest.iter().fold(start, |value, &byte| value * 256 + i128::from(byte));
        return i64::try_from(value).ok();
    }
    let trimmed = field.iter().position(|&byte| byte != b' ').unwrap_or(field.len());
    let digits = &field[trimmed..];
    let end = digits.iter().position(|byte| !(b'0'..=b'7').contains(byte)).unwrap_or(digits.len());
    if !digits[end..].iter().all(|&byte| byte == 0 || byte == b' ') {
        return None;
    }
    digits[..end]
        .iter()
        .try_fold(0_i64, |value, byte| value.checked_mul(8)?.checked_add(i64::from(byte - b'0')))
}

fn put(block: &mut Block, (start, length): (usize, usize), text: &[u8]) {
    let length = length.min(text.len());
    block[start..start + length].copy_from_slice(&text[..length]);
}

/// In octal digits with a NUL at the end, else in base 256.
fn put_number(block: &mut Block, (start, length): (usize, usize), value: i64) {
    let digits = format!("{value:0width$o}\0", width = length - 1);
    let field = &mut block[start..start + length];
    if value >= 0 && digits.len() == length {
        field.copy_from_slice(digits.as_bytes());
        return;
    }
    field.fill(if value < 0 { 0xff } else { 0 });
    field[length - 8..].copy_from_slice(&value.to_be_bytes());
    field[0] |= 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_number(field: &[u8], expected: Option<i64>) {
        assert_eq!(number(field), expected, "{}", field.escape_ascii());
    }

    #[test]
    fn numbers() {
        check_number(b"0000644\0", Some(0o644));
        check_number(b"   644 \0", Some(0o644));
        check_number(b"\0\0\0\0\0\0\0\0", Some(0));
        check_number(b"77777777777\0", Some(OCTAL_MAX as i64));
        check_number(b"777777777777", Some(0o7777_7777_7777));
        check_number(b"0000648\0", None);
        check_number(b"-000001\0", None);
        check_number(b"1 2    \0", None);
        check_number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02", Some(0x102));
        check_number(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX));
        check_number(b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None);
        check_number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2));
        check_number(b"\xff\0\0\0\0\0\0\0\0\0\0\0", None);
        check_number(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None);
        check_number(b"\x80\0\0\0\0\0\x01\x02", Some(0x102));
        check_number(b"", None);
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [0, 1, OCTAL_MAX as i64, 1 << 33, i64::MAX, -1, -1_000_000_000_000, i64::MIN] {
            let mut block = [0; BLOCK];
            put_number(&mut block, SIZE, value);
            check_number(field(&block, SIZE), Some(value));
        }
    }

    #[track_caller]
    fn check_split(name: &[u8], expected: Option<(usize, usize)>) {
        let found = split_name(name).map(|(prefix, rest)| (prefix.len(), rest.len()));
        assert_eq!(found, expected);
    }

    #[test]
    fn names_are_split() {
        let long =
            |left: usize, right: usize| [&vec![b'a'; left][..], b"/", &vec![b'b'; right]].concat();
        check_split(b"a/b", Some((0, 3)));
        check_split(&[b'a'; 100], Some((0, 100)));
        check_split(&[b'a'; 101], None);
        check_split(&long(1, 100), Some((1, 100)));
        check_split(&long(155, 100), Some((155, 100)));
        check_split(&long(156, 100), None);
        check_split(&long(20, 101), None);
        check_split(&[&long(155, 99)[..], b"/"].concat(), Some((155, 100)));
        check_split(&[&vec![b'a'; 100][..], b"/"].concat(), None);
    }

    fn sample() -> Header {
        let modified = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
        let name = [&vec![b'a'; 120][..], b"/b\xff"].concat();
        let extra = Extra { owner: Some(Owner { uid: 1000, gid: 1 << 31 }), ..Extra::default() };
        Header { name, link: b"x".into(), flag: b'2', mode: 0o4755, size: 7, modified, extra }
    }

    #[test]
    fn headers_are_read_as_they_were_written() {
        let header = sample();
        assert_eq!(Header::parse(&header.to_block()), Ok(Some(header)));
        assert_eq!(Header::parse(&[0; BLOCK]), Ok(None));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let block = sample().to_block();
        for at in 0..BLOCK {
            let mut changed = block;
            changed[at] ^= 1;
            // A bit of the checksum's end does not count.
            if !(CHECKSUM.0 + 6..CHECKSUM.0 + 8).contains(&at) {
                assert!(Header::parse(&changed).is_err(), "byte {at}");
            }
        }
    }
}
