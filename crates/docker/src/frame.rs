//! The frames of a stream without a terminal: `[stream u8][0 0 0][length u32 big-endian]`, then so many bytes.
//!
//! Source: the Engine API's "Attach to a container", *Stream format*.

/// How long the head of a frame is, in bytes.
pub const HEAD: usize = 8;

/// Which of the program's streams a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Standard output; so are frames of stream 0, which engines use when they mean none.
    Stdout,
    /// Standard error; so are the engine's own complaints, stream 3.
    Stderr,
}

/// Reads a frame's head: its stream and the length of what follows, in bytes.
///
/// # Errors
/// What is wrong with it: then this is no such stream.
pub fn parse(head: [u8; HEAD]) -> Result<(Of, u32), String> {
    let [stream, zeroes @ .., l0, l1, l2, l3] = head;
    let of = match (stream, zeroes) {
        (0 | 1, [0, 0, 0]) => Of::Stdout,
        (2 | 3, [0, 0, 0]) => Of::Stderr,
        _ => return Err(format!("a frame that begins with {:02x?}", &head[..4])),
    };
    Ok((of, u32::from_be_bytes([l0, l1, l2, l3])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: [u8; HEAD], expected: Result<(Of, u32), &str>) {
        assert_eq!(parse(head), expected.map_err(str::to_owned));
    }

    #[test]
    fn heads() {
        check([1, 0, 0, 0, 0, 0, 0, 5], Ok((Of::Stdout, 5)));
        check([2, 0, 0, 0, 0, 1, 0, 0], Ok((Of::Stderr, 65536)));
        check([0, 0, 0, 0, 0, 0, 0, 0], Ok((Of::Stdout, 0)));
        check([3, 0, 0, 0, 255, 255, 255, 255], Ok((Of::Stderr, u32::MAX)));
        check([4, 0, 0, 0, 0, 0, 0, 1], Err("a frame that begins with [04, 00, 00, 00]"));
        check(*b"bash-5.2", Err("a frame that begins with [62, 61, 73, 68]"));
        check([1, 0, 1, 0, 0, 0, 0, 1], Err("a frame that begins with [01, 00, 01, 00]"));
    }
}
