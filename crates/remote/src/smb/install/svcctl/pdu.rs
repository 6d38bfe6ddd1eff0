//! DCE/RPC over a pipe, as far as one caller needs it who makes one call after the other: C706, 12.6, and MS-RPCE 2.2.2.
//!
//! A call and an answer are one fragment or several, each `u8 5 | u8 0 | u8 kind | u8 flags | u8[4] 10 00 00 00 (little endian, ASCII) |
//! u16 length | u16 length of authentication | u32 call | ...`. Who calls is known by the connection of SMB, so there is no authentication.

use super::ndr::{Malformed, Reader, Writer};

/// The length of what every fragment begins with.
pub(in super::super) const HEAD: usize = 16;
/// The same of a request or a response.
const HEAD_OF_CALL: usize = 24;
/// The longest fragment that we send and take, in bytes: what Windows uses.
pub(in super::super) const LONGEST: u16 = 4280;
/// A fragment that is shorter carries too little to be meant: MS-RPCE 3.3.1.5.6 demands 1432 bytes of a server.
const SHORTEST: u16 = 64;
/// The longest answer, in bytes: the longest that is asked for has 8 KiB of texts.
pub(in super::super) const LONGEST_ANSWER: usize = 64 << 10;

const FIRST: u8 = 1;
const LAST: u8 = 2;
const LITTLE_ENDIAN: [u8; 4] = [0x10, 0, 0, 0];

/// MS-SCMR 1.9: 367abb81-9844-35f1-ad32-98f038001003, version 2.0.
const SVCCTL: [u8; 20] = [
    0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0x00, 0x10, 0x03,
    2, 0, 0, 0,
];
/// C706, appendix I: 8a885d04-1ceb-11c9-9fe8-08002b104860, version 2.
const NDR: [u8; 20] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60,
    2, 0, 0, 0,
];

/// The kinds of fragments: C706, 12.6.4.
mod kind {
    pub(super) const REQUEST: u8 = 0;
    pub(super) const RESPONSE: u8 = 2;
    pub(super) const FAULT: u8 = 3;
    pub(super) const BIND: u8 = 11;
    pub(super) const BIND_ACK: u8 = 12;
    pub(super) const BIND_NAK: u8 = 13;
}

/// What a server says in one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The number of the call that it answers.
    pub call: u32,
    /// Whether it is the first one of its answer.
    pub first: bool,
    /// Whether it is the last one of its answer.
    pub last: bool,
    /// What it says.
    pub said: Said<'a>,
}

/// See [`Fragment::said`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// We may call, in fragments of at most so many bytes.
    Bound(u16),
    /// We may not call. Why, as C706, 12.6.3.1 and 12.6.4.4, or Microsoft, numbers it.
    Unbound(u16),
    /// A part of the results.
    Results(&'a [u8]),
    /// The call was not made, with a status of C706, appendix E, or of Windows.
    Fault(u32),
}

fn head(kind: u8, flags: u8, call: u32, length: usize) -> Writer {
    // Nothing that is sent is longer than `LONGEST`.
    let length = u16::try_from(length).unwrap_or_default();
    let head = Writer::default().bytes(&[5, 0, kind, flags]).bytes(&LITTLE_ENDIAN);
    head.bytes(&length.to_le_bytes()).bytes(&[0, 0]).u32(call)
}

/// The wish to call the service manager.
pub(in super::super) fn bind(call: u32) -> Vec<u8> {
    let longest = LONGEST.to_le_bytes();
    let bind = head(kind::BIND, FIRST | LAST, call, 72).bytes(&longest).bytes(&longest);
    // No group; one context, numbered 0, in one representation.
    bind.u32(0).u32(1).bytes(&[0, 0, 1, 0]).bytes(&SVCCTL).bytes(&NDR).done()
}

/// A call with these arguments, in fragments of at most `longest` bytes.
pub(in super::super) fn request(
    call: u32,
    opnum: u16,
    arguments: &[u8],
    longest: u16,
) -> Vec<Vec<u8>> {
    let room = usize::from(longest.clamp(SHORTEST, LONGEST)) - HEAD_OF_CALL;
    // Each but the last is a multiple of 8, as alignment goes on through all of them.
    let parts: Vec<&[u8]> = arguments.chunks(room - room % 8).collect();
    let parts = if parts.is_empty() { vec![&[][..]] } else { parts };
    let (count, mut left) = (parts.len(), arguments.len());
    let part = |(index, part): (usize, &&[u8])| {
        let first = if index == 0 { FIRST } else { 0 };
        let last = if index + 1 == count { LAST } else { 0 };
        // How much is still to come, for whom it helps.
        let hint = u32::try_from(left).unwrap_or(u32::MAX);
        left -= part.len();
        let fragment = head(kind::REQUEST, first | last, call, HEAD_OF_CALL + part.len());
        fragment.u32(hint).bytes(&[0, 0]).bytes(&opnum.to_le_bytes()).bytes(part).done()
    };
    parts.iter().enumerate().map(part).collect()
}

/// The length of a fragment, of its [`HEAD`].
///
/// # Errors
/// When it is no fragment, or one that is too long.
pub(in super::super) fn length(head: &[u8]) -> Result<usize, Malformed> {
    let length = Reader::new(head.get(8..).unwrap_or_default()).u16()?;
    if head.first_chunk() != Some(&[5, 0]) {
        return Err(Malformed("it is no DCE/RPC"));
    }
    match usize::from(length) {
        length if length < HEAD => Err(Malformed("it is cut short")),
        length if length > usize::from(LONGEST) => Err(Malformed("a fragment is too long")),
        length => Ok(length),
    }
}

/// A fragment, of exactly its bytes.
///
/// # Errors
/// When they are none, or one that no server sends to us.
pub fn decode(bytes: &[u8]) -> Result<Fragment<'_>, Malformed> {
    if length(bytes)? != bytes.len() {
        return Err(Malformed("its length is wrong"));
    }
    let mut reader = Reader::new(bytes);
    let [_, _, kind, flags] = reader.array()?;
    if reader.array()? != LITTLE_ENDIAN {
        return Err(Malformed("its numbers are of another kind"));
    }
    reader.u16()?;
    if reader.u16()? != 0 {
        return Err(Malformed("it is authenticated, and nobody asked for that"));
    }
    let call = reader.u32()?;
    let said = match kind {
        kind::BIND_ACK => bound(&mut reader)?,
        kind::BIND_NAK => Said::Unbound(reader.u16()?),
        kind::RESPONSE => {
            reader.take(HEAD_OF_CALL - HEAD)?;
            Said::Results(reader.rest())
        }
        kind::FAULT => {
            reader.take(HEAD_OF_CALL - HEAD)?;
            Said::Fault(reader.u32()?)
        }
        _ => return Err(Malformed("it is no answer")),
    };
    Ok(Fragment { call, first: flags & FIRST != 0, last: flags & LAST != 0, said })
}

/// `u16 longest sent | u16 longest taken | u32 group | u16 length, the pipe's name | padding to 4 | u8 count, u8[3] | count times: u16
/// result | u16 reason | u8[20] representation`.
fn bound<'a>(reader: &mut Reader<'a>) -> Result<Said<'a>, Malformed> {
    reader.u16()?;
    let longest = reader.u16()?;
    reader.u32()?;
    let name = reader.u16()?;
    reader.take(name.into())?;
    reader.align(4)?;
    if reader.u8()? != 1 {
        return Err(Malformed("it answers what nobody asked"));
    }
    reader.take(3)?;
    let (result, reason) = (reader.u16()?, reader.u16()?);
    if result != 0 {
        return Ok(Said::Unbound(reason));
    }
    if reader.array()? != NDR {
        return Err(Malformed("its numbers are of another kind"));
    }
    match longest {
        longest if longest < SHORTEST => Err(Malformed("it takes next to nothing")),
        longest => Ok(Said::Bound(longest)),
    }
}

#[cfg(test)]
mod tests;
