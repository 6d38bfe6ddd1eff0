//! Named pipes, whose reads and writes wait for other things too.

#![expect(unsafe_code, reason = "overlapped reads and writes, and named pipes, have no safe form")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_HANDLE_EOF, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_PIPE_CONNECTED,
    ERROR_PIPE_NOT_CONNECTED, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_GENERIC_READ,
    FILE_GENERIC_WRITE, FILE_READ_DATA, FILE_WRITE_DATA, OPEN_EXISTING, PIPE_ACCESS_DUPLEX,
    PIPE_ACCESS_INBOUND, PIPE_ACCESS_OUTBOUND, ReadFile, SECURITY_IDENTIFICATION,
    SECURITY_IMPERSONATION, SECURITY_SQOS_PRESENT, SYNCHRONIZE, WriteFile,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, DisconnectNamedPipe, PIPE_READMODE_BYTE,
    PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
    WaitNamedPipeW,
};

use super::event::{Event, wait};
use super::security::Descriptor;
use super::{checked, wide};

/// What a pipe holds in each direction, in bytes.
const BUFFER: u32 = 64 * 1024;

/// One end of a pipe. What is read or written ends early once one of its events has happened.
///
/// No more than one thread reads and one writes at a time, or they share the bytes in any order.
#[derive(Debug)]
pub struct Pipe {
    handle: OwnedHandle,
    ends: Vec<Arc<Event>>,
}

/// Which direction a pipe of a child has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The child reads.
    ToChild,
    /// The child writes.
    FromChild,
}

/// The full path of a pipe of this host.
fn path(name: &str) -> Vec<u16> {
    wide(&format!(r"\\.\pipe\{name}"))
}

fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle == INVALID_HANDLE_VALUE || handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and is ours alone.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Makes an instance of a pipe of bytes that many clients may have. Clients of other hosts come by
/// SMB, so they are not rejected. The `first` fails where somebody else has that name.
///
/// # Errors
/// Those of CreateNamedPipeW.
pub fn listen(
    name: &str,
    security: &Descriptor,
    first: bool,
    ends: Vec<Arc<Event>>,
) -> io::Result<Pipe> {
    let mode = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
    let mode = if first { mode | FILE_FLAG_FIRST_PIPE_INSTANCE } else { mode };
    let kind = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT;
    let attributes = security.attributes(false);
    // SAFETY: name and attributes live until it returns.
    let handle = unsafe {
        CreateNamedPipeW(
            path(name).as_ptr(),
            mode,
            kind,
            PIPE_UNLIMITED_INSTANCES,
            BUFFER,
            BUFFER,
            0,
            &attributes,
        )
    };
    Ok(Pipe { handle: owned(handle)?, ends })
}

/// Opens a pipe of this host as a client, and waits while all its instances are busy.
///
/// # Errors
/// Those of CreateFileW and WaitNamedPipeW.
pub fn connect(name: &str, ends: Vec<Arc<Event>>) -> io::Result<Pipe> {
    let path = path(name);
    // A generic write would ask for the right to make another instance, too.
    let access = FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE;
    let flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IMPERSONATION;
    loop {
        // SAFETY: the path lives until it returns.
        let handle = unsafe {
            CreateFileW(path.as_ptr(), access, 0, null(), OPEN_EXISTING, flags, null_mut())
        };
        match owned(handle) {
            Ok(handle) => return Ok(Pipe { handle, ends }),
            Err(error) if error.raw_os_error() == Some(231) => {
                // SAFETY: the path lives until it returns.
                checked(unsafe { WaitNamedPipeW(path.as_ptr(), u32::MAX) })?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A pipe to a child: our end, and the end that it inherits. Nobody but `security` admits can come between.
///
/// # Errors
/// Those of CreateNamedPipeW and CreateFileW.
pub fn to_child(
    direction: Direction,
    security: &Descriptor,
    ends: Vec<Arc<Event>>,
) -> io::Result<(Pipe, OwnedHandle)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = path(&format!("thither.{}.{next}", std::process::id()));
    let (ours, theirs) = match direction {
        Direction::ToChild => (PIPE_ACCESS_OUTBOUND, FILE_GENERIC_READ),
        Direction::FromChild => (PIPE_ACCESS_INBOUND, FILE_GENERIC_WRITE),
    };
    let mode = ours | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE;
    let kind = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
    let attributes = security.attributes(false);
    // SAFETY: path and attributes live until it returns.
    let handle =
        unsafe { CreateNamedPipeW(path.as_ptr(), mode, kind, 1, BUFFER, BUFFER, 0, &attributes) };
    let ours = owned(handle)?;
    let attributes = inheritable();
    let flags = SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    // SAFETY: as before.
    let handle = unsafe {
        CreateFileW(path.as_ptr(), theirs, 0, &attributes, OPEN_EXISTING, flags, null_mut())
    };
    let theirs = owned(handle)?;
    Ok((Pipe { handle: ours, ends }, theirs))
}

/// The attributes of a handle that a child inherits.
fn inheritable() -> SECURITY_ATTRIBUTES {
    SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: null_mut(),
        bInheritHandle: 1,
    }
}

/// What a child has in place of a stream that is not joined.
///
/// # Errors
/// Those of CreateFileW.
pub fn nul() -> io::Result<OwnedHandle> {
    let attributes = inheritable();
    let access = FILE_GENERIC_READ | FILE_GENERIC_WRITE;
    // SAFETY: path and attributes live until it returns.
    owned(unsafe {
        CreateFileW(wide("NUL").as_ptr(), access, 3, &attributes, OPEN_EXISTING, 0, null_mut())
    })
}

impl Pipe {
    /// From now on, what is read and written ends early with this, too.
    pub fn end_with(&mut self, event: Arc<Event>) {
        self.ends.push(event);
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// Those of ConnectNamedPipe; [`io::ErrorKind::ConnectionAborted`] once one of the pipe's events has happened.
    pub fn accept(&self) -> io::Result<()> {
        let connected = self.overlapped(None, |handle, overlapped| {
            // SAFETY: the handle is open, and the caller keeps `overlapped` until it is done.
            unsafe { ConnectNamedPipe(handle, overlapped) }
        });
        match connected {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_CONNECTED as i32) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Reads what there is, at least one byte; none at the end.
    ///
    /// # Errors
    /// Those of ReadFile; [`io::ErrorKind::ConnectionAborted`] once one of the pipe's events has happened,
    /// [`io::ErrorKind::TimedOut`] after the deadline.
    pub fn read(&self, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        loop {
            let read = self.overlapped(deadline, |handle, overlapped| {
                // SAFETY: the buffer has that length, and the caller keeps both until it is done.
                unsafe { ReadFile(handle, buffer.as_mut_ptr(), length, null_mut(), overlapped) }
            });
            match read {
                // Somebody has written nothing.
                Ok(0) if length > 0 => {}
                Err(error) if is_end(&error) => return Ok(0),
                other => return other,
            }
        }
    }

    /// Writes some of it.
    ///
    /// # Errors
    /// Those of WriteFile, and as [`read`](Pipe::read).
    pub fn write(&self, bytes: &[u8], deadline: Option<Instant>) -> io::Result<usize> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.overlapped(deadline, |handle, overlapped| {
            // SAFETY: the bytes have that length, and the caller keeps both until it is done.
            unsafe { WriteFile(handle, bytes.as_ptr(), length, null_mut(), overlapped) }
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As [`write`](Pipe::write).
    pub fn write_all(&self, mut bytes: &[u8], deadline: Option<Instant>) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write(bytes, deadline)?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Throws the client out; what it has not read is lost.
    pub fn disconnect(&self) {
        // SAFETY: the handle is open. If there is no client, there is nothing to be done.
        unsafe { DisconnectNamedPipe(self.handle.as_raw_handle()) };
    }

    /// Begins something, and waits until it is done: it is never left under way, so what it uses may be on the stack.
    fn overlapped(
        &self,
        deadline: Option<Instant>,
        begin: impl FnOnce(HANDLE, *mut OVERLAPPED) -> windows_sys::core::BOOL,
    ) -> io::Result<usize> {
        // What never has to wait would never hear of it.
        let ends: Vec<_> = self.ends.iter().map(|end| end.as_handle()).collect();
        if !ends.is_empty() && wait(&ends, Some(Instant::now()))?.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let done = Event::new()?;
        let handle = self.handle.as_raw_handle();
        let mut overlapped =
            OVERLAPPED { hEvent: done.as_handle().as_raw_handle(), ..OVERLAPPED::default() };
        let mut given_up = None;
        if begin(handle, &raw mut overlapped) == 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(ERROR_IO_PENDING as i32) {
                return Err(error);
            }
            let mut all = vec![done.as_handle()];
            all.extend(ends);
            given_up = match wait(&all, deadline) {
                Ok(Some(0)) => None,
                Ok(Some(_)) => Some(io::ErrorKind::ConnectionAborted.into()),
                Ok(None) => Some(io::ErrorKind::TimedOut.into()),
                Err(error) => Some(error),
            };
            if given_up.is_some() {
                // SAFETY: `overlapped` is what was begun.
                unsafe { CancelIoEx(handle, &raw const overlapped) };
            }
        }
        let mut n = 0;
        // SAFETY: `overlapped` is what was begun; this returns once it is done or cancelled.
        let result =
            checked(unsafe { GetOverlappedResult(handle, &raw const overlapped, &mut n, 1) });
        match (result, given_up) {
            // It was done all the same.
            (Ok(()), None) => Ok(n as usize),
            (Ok(()), Some(_)) if n > 0 => Ok(n as usize),
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(error),
        }
    }
}

/// Whether the other side is gone.
#[must_use]
pub fn is_end(error: &io::Error) -> bool {
    const ENDS: [u32; 4] =
        [ERROR_BROKEN_PIPE, ERROR_HANDLE_EOF, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED];
    error.raw_os_error().is_some_and(|error| ENDS.contains(&(error as u32)))
}

impl AsHandle for Pipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}
