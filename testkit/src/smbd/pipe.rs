//! The other end of a named pipe of Samba's: smbd hands each client on to a Unix socket.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The magic word of the handshake: librpc/idl/named_pipe_auth.idl of Samba.
const MAGIC: &[u8; 4] = b"NPAM";
/// The longest request that is read, in bytes: who the client is, with all of its groups.
const LONGEST: usize = 1 << 16;
/// How the client is to see the pipe: as a stream of bytes.
const BYTE_STREAM: u16 = 1;
/// That it blocks, with any number of instances: MS-FSCC 2.4.32 as MS-CIFS has it.
const DEVICE_STATE: u16 = 0x00ff;
/// The size of the pipe's buffer, in bytes.
const ALLOCATION: u64 = 4096;

/// NTSTATUS, MS-ERREF 2.3.1.
const SUCCESS: u32 = 0;
const ACCESS_DENIED: u32 = 0xc000_0022;

/// A pipe that is served. It goes when it is dropped.
#[derive(Debug)]
pub struct Pipe {
    listener: UnixListener,
    path: PathBuf,
}

impl Pipe {
    pub(super) fn listen(path: &Path) -> Pipe {
        let listener = UnixListener::bind(path).expect("a socket for the pipe");
        Pipe { listener, path: path.to_owned() }
    }

    /// Waits for a client, and lets it in, whoever it is: from then on the stream is the client's.
    ///
    /// # Errors
    /// When smbd goes, or says something else than is expected.
    pub fn accept(&self) -> io::Result<UnixStream> {
        let (mut stream, _) = self.listener.accept()?;
        let level = read_request(&mut stream)?;
        stream.write_all(&reply(level, SUCCESS))?;
        Ok(stream)
    }

    /// Waits for a client, and refuses it as who serves the pipe may.
    ///
    /// # Errors
    /// As [`accept`](Pipe::accept).
    pub fn deny(&self) -> io::Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        let level = read_request(&mut stream)?;
        stream.write_all(&reply(level, ACCESS_DENIED))?;
        // Until it was read.
        stream.read(&mut [0]).map(drop)
    }
}

/// It can be read from once a client waits.
impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads `u32be length | "NPAM" | u32le level | ...`, and returns the level.
fn read_request(stream: &mut UnixStream) -> io::Result<u32> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if !(8..=LONGEST).contains(&length) {
        return Err(io::Error::other(format!("a request of {length} bytes")));
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request)?;
    let (magic, rest) = request.split_at(4);
    match rest.first_chunk() {
        Some(level) if magic == MAGIC => Ok(u32::from_le_bytes(*level)),
        _ => Err(io::Error::other(format!("no request of Samba's: {:x?}", &request[..8]))),
    }
}

/// `u32be length | "NPAM" | u32le level | u32le level | u16le file type | u16le device state | padding to 8 | u64le allocation |
/// u32le NTSTATUS`, where the padding counts the length as well.
fn reply(level: u32, status: u32) -> Vec<u8> {
    let mut reply = vec![0; 4];
    reply.extend_from_slice(MAGIC);
    reply.extend_from_slice(&level.to_le_bytes());
    reply.extend_from_slice(&level.to_le_bytes());
    reply.extend_from_slice(&BYTE_STREAM.to_le_bytes());
    reply.extend_from_slice(&DEVICE_STATE.to_le_bytes());
    reply.resize(reply.len().next_multiple_of(8), 0);
    reply.extend_from_slice(&ALLOCATION.to_le_bytes());
    reply.extend_from_slice(&status.to_le_bytes());
    let length = u32::try_from(reply.len() - 4).expect("a short reply");
    reply[..4].copy_from_slice(&length.to_be_bytes());
    reply
}
