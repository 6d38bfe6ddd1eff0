//! Bytes between an open pipe and our end of a socket pair, in both directions at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smb2::msg::close::CloseRequest;
use smb2::msg::read::{ReadRequest, ReadResponse};
use smb2::msg::write::{WriteRequest, WriteResponse};
use smb2::pack::{ReadCursor, Unpack};
use smb2::types::Command;
use smb2::types::status::NtStatus;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::session::Pipe;

/// The most that is read or written at once, in bytes: what one credit pays for, MS-SMB2 3.1.5.2.
pub(super) const CHUNK: usize = 64 << 10;
/// How long what was sent may take to arrive once nobody here is interested in the rest.
const LINGER: Duration = Duration::from_secs(5);
/// How long a server may take to close a pipe, before the connection just ends.
const CLOSING: Duration = Duration::from_secs(2);
/// The end of a pipe, as STATUS_PIPE_DISCONNECTED, STATUS_PIPE_CLOSING and STATUS_PIPE_BROKEN of MS-ERREF.
const ENDED: [u32; 3] = [0xc000_00b0, 0xc000_00b1, 0xc000_014b];
/// Where the data of a write begins: behind the header of 64 bytes and 48 of its own, MS-SMB2 2.2.21.
pub(super) const DATA: u16 = 64 + 48;

/// Whether the other end of a pipe has closed it, and not the connection ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<AtomicBool>);

impl Fate {
    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Goes on until either side has had enough; then both ends are closed.
pub(super) async fn carry(pipe: Pipe, socket: UnixStream, fate: Fate) {
    tokio::select! {
        closed = download(&pipe, &socket) => fate.0.store(closed, Ordering::Release),
        () = upload(&pipe, &socket) => {}
        () = abandoned(&socket) => {}
    }
    drop(socket);
    let close = CloseRequest { flags: 0, file_id: pipe.file };
    let closing = pipe.connection.execute(Command::Close, &close, Some(pipe.tree));
    // Whatever it says: the connection ends.
    let _ = timeout(CLOSING, closing).await;
}

/// Until nobody here writes any more, and what they wrote had its time.
async fn abandoned(socket: &UnixStream) {
    // It ends when the other end is closed for writing; nothing else is urgent on such a socket.
    let _ = socket.ready(Interest::PRIORITY).await;
    sleep(LINGER).await;
}

/// Reads the pipe until it ends, or nobody wants it. Says whether it was its end.
async fn download(pipe: &Pipe, socket: &UnixStream) -> bool {
    loop {
        let request = ReadRequest {
            // Where the data shall begin, counted from the header.
            padding: 0x50,
            flags: 0,
            length: CHUNK as u32,
            offset: 0,
            file_id: pipe.file,
            minimum_count: 0,
            channel: 0,
            remaining_bytes: 0,
            read_channel_info: Vec::new(),
        };
        let frame = match pipe.connection.execute(Command::Read, &request, Some(pipe.tree)).await {
            Ok(frame) => frame,
            Err(error) => return lost(pipe, &error),
        };
        match frame.header.status {
            // The rest of a message comes with the next read.
            NtStatus::SUCCESS | NtStatus::BUFFER_OVERFLOW => {}
            NtStatus::END_OF_FILE => return true,
            NtStatus(status) if ENDED.contains(&status) => return true,
            status => {
                tracing::debug!(%status, "reading the pipe failed");
                return false;
            }
        }
        match ReadResponse::unpack(&mut ReadCursor::new(&frame.body)) {
            Ok(response) if response.data.is_empty() => return true,
            Ok(response) if response.data.len() > CHUNK => return false,
            Ok(response) => match write_all(socket, &response.data).await {
                Ok(()) => {}
                Err(_) => return false,
            },
            Err(error) => return lost(pipe, &error),
        }
    }
}

fn lost(pipe: &Pipe, error: &smb2::Error) -> bool {
    tracing::debug!(%error, fault = ?pipe.shared.fault(), "the connection is lost");
    false
}

async fn write_all(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes to the pipe, until there is nothing more to write.
async fn upload(pipe: &Pipe, socket: &UnixStream) {
    let mut buffer = vec![0; CHUNK.min(pipe.longest as usize)];
    loop {
        let n = match read(socket, &mut buffer).await {
            Ok(n @ 1..) => n,
            Ok(0) | Err(_) => return,
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            match send(pipe, rest).await {
                Some(n) => rest = &rest[n..],
                // Whoever closed the pipe may have said something before, which is still to be read.
                None => return std::future::pending().await,
            }
        }
    }
}

async fn read(socket: &UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        match socket.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// Says how much of it was written, at least one byte; `None` when no more can be.
async fn send(pipe: &Pipe, bytes: &[u8]) -> Option<usize> {
    let request = WriteRequest {
        data_offset: DATA,
        offset: 0,
        file_id: pipe.file,
        channel: 0,
        remaining_bytes: 0,
        write_channel_info_offset: 0,
        write_channel_info_length: 0,
        flags: 0,
        data: bytes.to_vec(),
    };
    let sent = pipe.connection.execute(Command::Write, &request, Some(pipe.tree)).await;
    let frame = sent.ok().filter(|frame| frame.header.status == NtStatus::SUCCESS)?;
    let response = WriteResponse::unpack(&mut ReadCursor::new(&frame.body)).ok()?;
    let written = usize::try_from(response.count).ok()?;
    (1..=bytes.len()).contains(&written).then_some(written)
}
