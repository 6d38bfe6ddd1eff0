//! The calls of Windows, each with a safe type around it: the only modules with unsafe code.

pub mod console;
pub mod event;
pub mod log;
pub mod pipe;
pub mod process;
pub mod security;
pub mod token;

use std::io;

/// Text with the zero at its end that Windows wants.
#[must_use]
pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The error of the last call, unless it gave something else than 0.
pub(crate) fn checked(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
