//! Events, and waiting for several things at once.

#![expect(
    unsafe_code,
    reason = "CreateEventW, SetEvent and WaitForMultipleObjects have no safe form"
)]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{HANDLE, WAIT_FAILED, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

use super::checked;

/// Something that has happened, or not yet; it stays so until it is reset.
#[derive(Debug)]
pub struct Event(OwnedHandle);

impl Event {
    /// Not yet.
    ///
    /// # Errors
    /// Those of CreateEventW.
    pub fn new() -> io::Result<Event> {
        // SAFETY: nothing is pointed to.
        let handle = unsafe { CreateEventW(null(), 1, 0, null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made, and is ours alone.
        Ok(Event(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// Now it has happened.
    pub fn set(&self) {
        // SAFETY: the handle is open, and an event. It cannot fail then.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }

    /// It may happen again.
    ///
    /// # Errors
    /// Those of ResetEvent.
    pub fn reset(&self) -> io::Result<()> {
        // SAFETY: the handle is open, and an event.
        checked(unsafe { ResetEvent(self.0.as_raw_handle()) })
    }
}

impl AsHandle for Event {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// Waits until one of these, at most 64, is signalled, and says which: the first of them. `None` after the deadline.
///
/// # Errors
/// Those of WaitForMultipleObjects.
pub fn wait(
    handles: &[BorrowedHandle<'_>],
    deadline: Option<Instant>,
) -> io::Result<Option<usize>> {
    let raw: Vec<HANDLE> = handles.iter().map(AsRawHandle::as_raw_handle).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // SAFETY: the handles are open as long as they are borrowed, and there are as many as is said.
        let result = unsafe {
            WaitForMultipleObjects(raw.len() as u32, raw.as_ptr(), 0, left.map_or(INFINITE, millis))
        };
        match result {
            WAIT_FAILED => return Err(io::Error::last_os_error()),
            WAIT_TIMEOUT if left.is_some_and(|left| left.is_zero()) => return Ok(None),
            WAIT_TIMEOUT => {}
            which => return Ok(Some(which as usize)),
        }
    }
}

/// Rounded up, so that nobody spins; an hour at most, after which it is asked again.
fn millis(time: Duration) -> u32 {
    let millis = time.as_nanos().div_ceil(1_000_000).min(3_600_000);
    millis as u32
}
