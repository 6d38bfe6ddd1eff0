//! Frames: a header of 16 bytes, a payload, and raw blocks that the payload announces.

/// The version of the protocol, said in the agent's greeting.
pub(crate) const VERSION: u8 = 1;

/// In the flags of a call, beside what it wants: it may wait for long over there, is of no thread, and does not count
/// among those that the window allows. The number is that of agent.py.
pub(crate) const APART: u8 = 4;

/// The length of a header, in bytes.
pub(crate) const HEADER: usize = 16;

/// What a frame is. The numbers are those of agent.py.
pub(crate) mod kind {
    pub(crate) const CALL: u8 = 0;
    pub(crate) const REPLY: u8 = 1;
    pub(crate) const ERROR: u8 = 2;
    pub(crate) const CALLBACK: u8 = 3;
    pub(crate) const RETURN: u8 = 4;
    pub(crate) const RAISE: u8 = 5;
    pub(crate) const CANCEL: u8 = 6;
    pub(crate) const DROP: u8 = 7;
    pub(crate) const OUTPUT: u8 = 8;
    pub(crate) const LOG: u8 = 9;
    pub(crate) const HELLO: u8 = 10;

    /// A reply that was too large and passed over; its payload is the bound, 8 bytes. Never on the wire.
    pub(crate) const TOO_LARGE: u8 = 255;

    /// What comes from over there, behind the greeting.
    pub(crate) const FROM_THERE: [u8; 6] = [REPLY, ERROR, CALLBACK, DROP, OUTPUT, LOG];
}

/// `struct.Struct('<IBBHII')`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Of the payload, in bytes.
    pub(crate) length: u32,
    pub(crate) kind: u8,
    /// Of a call: what it wants of its result. Of output: the stream's number. Of a greeting: the version.
    pub(crate) flags: u8,
    /// The caller's thread: its calls keep their order.
    pub(crate) thread: u16,
    /// Of the call or callback.
    pub(crate) id: u32,
    /// Of a call: the callback that it is made in. Of a callback: the call that it is made in. 0 for none.
    pub(crate) within: u32,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.thread.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.id.to_le_bytes());
        bytes[12..].copy_from_slice(&self.within.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER]) -> Header {
        let [a, b, c, d, kind, flags, e, f, g, h, i, j, k, l, m, n] = *bytes;
        Header {
            length: u32::from_le_bytes([a, b, c, d]),
            kind,
            flags,
            thread: u16::from_le_bytes([e, f]),
            id: u32::from_le_bytes([g, h, i, j]),
            within: u32::from_le_bytes([k, l, m, n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = Header { length: 1, kind: 2, flags: 3, thread: 4, id: 5, within: 6 };
        let bytes = [1, 0, 0, 0, 2, 3, 4, 0, 5, 0, 0, 0, 6, 0, 0, 0];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(Header::from_bytes(&bytes), header);
    }
}
