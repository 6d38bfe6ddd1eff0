//! The records of an extended header: `LENGTH KEY=VALUE\n`, as POSIX.1-2001 ("pax") has them.

use super::header::Timestamp;
use super::preserve::{Attribute, is_kept};
use super::sparse::{Segment, parse_list};

/// What the records change of the header that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    /// Extended attributes that could be kept.
    pub(crate) attributes: Vec<Attribute>,
    /// That the content is that of a sparse file in one of GNU's forms.
    pub(crate) sparse: Option<Sparse>,
}

/// What is said of a sparse file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    /// How long it is with its holes.
    pub(crate) size: Option<u64>,
    /// In version 0.1: where it has data.
    pub(crate) map: Option<Vec<Segment>>,
}

/// What the names of extended attributes stand after, as Schily's star has it.
const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";

impl Pax {
    /// Reads them. Other keys are passed over.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(mut records: &[u8]) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or("an extended header is malformed")?;
            let equals = record.iter().position(|&byte| byte == b'=');
            let equals = equals.ok_or("a record of an extended header has no value")?;
            pax.set(&record[..equals], &record[equals + 1..])?;
            records = rest;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            // An empty value takes back what a record before it said.
            b"path" => self.path = (!value.is_empty()).then(|| value.to_vec()),
            b"linkpath" => self.link = (!value.is_empty()).then(|| value.to_vec()),
            b"size" => self.size = Some(decimal(value).ok_or("a size is no number")?),
            b"mtime" => self.modified = Some(seconds(value).ok_or("a time is no number")?),
            b"uid" => self.uid = decimal(value),
            b"gid" => self.gid = decimal(value),
            _ => {
                if let Some(key) = key.strip_prefix(SPARSE) {
                    self.sparse.get_or_insert_default().set(key, value)?;
                } else if let Some(name) = key.strip_prefix(XATTR) {
                    self.attributes.extend(attribute(name, value));
                }
            }
        }
        Ok(())
    }

    /// Whether it says nothing of which file its content is.
    pub(crate) fn renames_nothing(&self) -> bool {
        let Pax { path, link, size, modified, uid: _, gid: _, attributes: _, sparse } = self;
        path.is_none() && link.is_none() && size.is_none() && modified.is_none() && sparse.is_none()
    }

    /// Whether it says nothing that matters here.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Pax::default()
    }

    /// The records.
    pub(crate) fn to_records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + digits(rest);
            length = rest + digits(length);
            let length = format!("{length} ");
            records.extend_from_slice(&[length.as_bytes(), key, b"=", value, b"\n"].concat());
        };
        if let Some(path) = &self.path {
            add(b"path", path);
        }
        if let Some(link) = &self.link {
            add(b"linkpath", link);
        }
        if let Some(size) = self.size {
            add(b"size", size.to_string().as_bytes());
        }
        if let Some(modified) = self.modified {
            add(b"mtime", decimal_seconds(modified).as_bytes());
        }
        for (key, id) in [(b"uid", self.uid), (b"gid", self.gid)] {
            if let Some(id) = id {
                add(key, id.to_string().as_bytes());
            }
        }
        for Attribute { name, value } in &self.attributes {
            add(&[XATTR, &encoded(name)].concat(), value);
        }
        let numbers = |sparse: &Sparse| {
            let Sparse { major, minor, size, .. } = *sparse;
            [
                (&b"GNU.sparse.major"[..], major),
                (b"GNU.sparse.minor", minor),
                (b"GNU.sparse.realsize", size),
            ]
        };
        for (key, number) in self.sparse.iter().flat_map(numbers) {
            if let Some(number) = number {
                add(key, number.to_string().as_bytes());
            }
        }
        if let Some(name) = self.sparse.as_ref().and_then(|sparse| sparse.name.as_ref()) {
            add(b"GNU.sparse.name", name);
        }
        records
    }
}

impl Sparse {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = || decimal(value).map(Some).ok_or("a number of a sparse file is none");
        match key {
            b"major" => self.major = number()?,
            b"minor" => self.minor = number()?,
            b"realsize" | b"size" => self.size = number()?,
            b"name" => self.name = Some(value.to_vec()),
            b"map" => {
                let map = parse_list(value).ok_or("the map of a sparse file is malformed")?;
                self.map = Some(map);
            }
            // How many parts there are is seen.
            _ => {}
        }
        Ok(())
    }
}

/// GNU's tar writes `%` and `=` in the names of attributes as percent-encoded.
fn encoded(name: &[u8]) -> Vec<u8> {
    let encode = |&byte: &u8| match byte {
        b'%' => b"%25".to_vec(),
        b'=' => b"%3D".to_vec(),
        byte => vec![byte],
    };
    name.iter().flat_map(encode).collect()
}

fn attribute(name: &[u8], value: &[u8]) -> Option<Attribute> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', b'2', b'5', after @ ..] => (b'%', after),
            [b'%', b'3', b'D', after @ ..] => (b'=', after),
            _ => (byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
    is_kept(&decoded).then(|| Attribute { name: decoded, value: value.to_vec() })
}

/// The first record without its length and its end, and what follows it.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&records[..space])?).ok()?;
    let record = records.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &records[length..]))
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// A number below 2^63.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(number).ok().map(|_| number)
}

/// `-12.345678901`: seconds with a fraction, of which nine digits count.
pub(super) fn seconds(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let fraction = text.get(point + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(decimal(&text[..point])?).ok()?;
    let nanoseconds = (0..9).fold(0, |value, at| {
        value * 10 + u32::from(fraction.get(at).map_or(0, |digit| digit - b'0'))
    });
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds: whole, nanoseconds },
        (true, 0) => Timestamp { seconds: -whole, nanoseconds },
        (true, _) => Timestamp { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

pub(super) fn decimal_seconds(Timestamp { seconds, nanoseconds }: Timestamp) -> String {
    // Before 1970 the fraction goes back.
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, _) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds),
    };
    match fraction {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction:09}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_time(text: &str, expected: Option<(i64, u32)>) {
        let found = seconds(text.as_bytes());
        assert_eq!(found.map(|time| (time.seconds, time.nanoseconds)), expected, "{text}");
    }

    #[test]
    fn times() {
        check_time("0", Some((0, 0)));
        check_time("12.5", Some((12, 500_000_000)));
        check_time("12.", Some((12, 0)));
        check_time("12.1234567899", Some((12, 123_456_789)));
        check_time("-12.25", Some((-13, 750_000_000)));
        check_time("-12", Some((-12, 0)));
        check_time("9223372036854775807", Some((i64::MAX, 0)));
        check_time("9223372036854775808", None);
        check_time("-9223372036854775807.5", Some((i64::MIN, 500_000_000)));
        for wrong in ["", ".5", "-", "1e3", "1.x", "+1", "--1"] {
            check_time(wrong, None);
        }
    }

    #[test]
    fn times_are_read_as_they_were_written() {
        for time in [(0, 0), (0, 1), (-1, 999_999_999), (-2, 0), (5, 120_000_000), (i64::MIN, 1)] {
            let text = decimal_seconds(Timestamp { seconds: time.0, nanoseconds: time.1 });
            check_time(&text, Some(time));
        }
    }

    #[track_caller]
    fn check(records: &[u8], expected: Result<Pax, &'static str>) {
        assert_eq!(Pax::parse(records), expected, "{}", records.escape_ascii());
    }

    #[test]
    fn records() {
        let path = |path: &[u8]| Pax { path: Some(path.into()), ..Pax::default() };
        check(b"", Ok(Pax::default()));
        check(b"10 path=a\n", Ok(path(b"a")));
        check(b"12 path=a=\n\n", Ok(path(b"a=\n")));
        check(b"10 path=a\n10 path=b\n", Ok(path(b"b")));
        check(b"10 path=a\n8 path=\n", Ok(Pax::default()));
        let attributes = |name: &[u8], value: &[u8]| {
            let (name, value) = (name.to_vec(), value.to_vec());
            Pax { attributes: vec![Attribute { name, value }], ..Pax::default() }
        };
        check(b"28 SCHILY.xattr.user.x=\0=\n\0\n", Ok(attributes(b"user.x", b"\0=\n\0")));
        check(b"30 SCHILY.xattr.user.%3D%25=x\n", Ok(attributes(b"user.=%", b"x")));
        check(b"31 SCHILY.xattr.trusted.x=\0=\n\0\n", Ok(Pax::default()));
        check(b"28 SCHILY.xattr.user.=\0=\n\0x\n", Ok(Pax::default()));
        let sparse = |sparse| Pax { sparse: Some(sparse), ..Pax::default() };
        check(
            b"22 GNU.sparse.major=1\n",
            Ok(sparse(Sparse { major: Some(1), ..Sparse::default() })),
        );
        let map = Some(vec![Segment { offset: 1, length: 2 }]);
        check(b"22 GNU.sparse.map=1,2\n", Ok(sparse(Sparse { map, ..Sparse::default() })));
        check(b"20 GNU.sparse.map=1\n", Err("the map of a sparse file is malformed"));
        check(b"9 size=5\n", Ok(Pax { size: Some(5), ..Pax::default() }));
        check(b"11 size=-1\n", Err("a size is no number"));
        check(b"28 size=9223372036854775808\n", Err("a size is no number"));
        check(b"11 mtime=x\n", Err("a time is no number"));
        check(b"7 path\n", Err("a record of an extended header has no value"));
        for wrong in [
            &b"11 path=a\n"[..],
            b"8 path=a\n",
            b"99 path=a\n",
            b"0 path=a\n",
            b"2 path=a\n",
            b"x path=a\n",
            b"path=a\n",
            b"-1 path=a\n",
            b"99999999999999999999 path=a\n",
            b"10 path=a",
            b"1",
            b"3 \n",
        ] {
            check(
                wrong,
                match wrong {
                    b"3 \n" => Err("a record of an extended header has no value"),
                    _ => Err("an extended header is malformed"),
                },
            );
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for length in [1, 85, 86, 87, 88, 89, 90, 91, 92, 93, 980, 985, 990, 4096] {
            let pax = Pax {
                path: Some(vec![0xff; length]),
                link: Some(b"a\nb=c".into()),
                size: Some(1 << 40),
                modified: Some(Timestamp { seconds: -5, nanoseconds: 10 }),
                uid: Some(1 << 21),
                gid: Some(0),
                attributes: vec![Attribute { name: b"user.%=\n".into(), value: vec![0; length] }],
                sparse: Some(Sparse {
                    major: Some(1),
                    minor: Some(0),
                    name: Some(vec![b'\n'; length]),
                    size: Some(1 << 40),
                    map: None,
                }),
            };
            check(&pax.to_records(), Ok(pax));
        }
    }
}
