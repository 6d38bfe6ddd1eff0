//! Where it is said what happens: the event log of Windows, or standard error.

#![expect(unsafe_code, reason = "the event log has no safe form")]

use std::io::{self, Write as _};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE,
    RegisterEventSourceW, ReportEventW,
};

use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_EXPAND_SZ, RegDeleteTreeW, RegSetKeyValueW,
};

use super::wide;

/// A log.
#[derive(Debug)]
pub enum Log {
    /// For who started it by hand.
    Stderr,
    /// For the Event Viewer.
    Events(Source),
}

/// A source of events.
#[derive(Debug)]
pub struct Source(HANDLE);

// SAFETY: it may be used by all threads, as it is a handle of a log that locks by itself.
unsafe impl Send for Source {}
// SAFETY: the same.
unsafe impl Sync for Source {}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It is as it should be.
    Info,
    /// Somebody was refused.
    Warning,
    /// It does not work.
    Error,
}

impl Log {
    /// The log of Windows, under this name.
    ///
    /// # Errors
    /// Those of RegisterEventSourceW.
    pub fn events(source: &str) -> io::Result<Log> {
        // SAFETY: the name lives until it returns.
        let handle = unsafe { RegisterEventSourceW(null(), wide(source).as_ptr()) };
        if handle.is_null() {
            Err(io::Error::last_os_error())
        } else {
            Ok(Log::Events(Source(handle)))
        }
    }

    /// Says something. Nobody can be told that this fails.
    pub fn say(&self, level: Level, text: &str) {
        match self {
            Log::Stderr => {
                let _ = writeln!(io::stderr().lock(), "pushyd: {text}");
            }
            Log::Events(source) => source.report(level, text),
        }
    }
}

impl Source {
    fn report(&self, level: Level, text: &str) {
        let (kind, id) = match level {
            Level::Info => (EVENTLOG_INFORMATION_TYPE, 1),
            Level::Warning => (EVENTLOG_WARNING_TYPE, 2),
            Level::Error => (EVENTLOG_ERROR_TYPE, 3),
        };
        let text = wide(text);
        let texts = [text.as_ptr()];
        // SAFETY: there is one text, which lives until it returns.
        unsafe { ReportEventW(self.0, kind, 0, id, null_mut(), 1, 0, texts.as_ptr(), null()) };
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody has it any more.
        unsafe { DeregisterEventSource(self.0) };
    }
}

/// Where a source of events says what shows its texts.
fn key(source: &str) -> Vec<u16> {
    wide(&format!(r"SYSTEM\CurrentControlSet\Services\EventLog\Application\{source}"))
}

/// Tells the Event Viewer how to show what this source says: with a program of Windows whose texts 1 to 1000 are `%1`.
///
/// # Errors
/// Those of RegSetKeyValueW.
pub fn register(source: &str) -> io::Result<()> {
    let file = wide(r"%SystemRoot%\System32\EventCreate.exe");
    let size = size_of_val(&file[..]) as u32;
    let name = wide("EventMessageFile");
    // SAFETY: all texts live until it returns, and the value has that size.
    let error = unsafe {
        let (key, name) = (key(source), name.as_ptr());
        RegSetKeyValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name,
            REG_EXPAND_SZ,
            file.as_ptr().cast(),
            size,
        )
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error as i32)) }
}

/// Undoes it. If there is nothing, nothing is to be done.
pub fn unregister(source: &str) {
    // SAFETY: the text lives until it returns.
    unsafe { RegDeleteTreeW(HKEY_LOCAL_MACHINE, key(source).as_ptr()) };
}
