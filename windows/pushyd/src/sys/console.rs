//! ^C.

#![expect(unsafe_code, reason = "SetConsoleCtrlHandler has no safe form")]

use std::io;
use std::sync::{Arc, OnceLock};

use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
use windows_sys::core::BOOL;

use super::checked;
use super::event::Event;

static STOP: OnceLock<Arc<Event>> = OnceLock::new();

unsafe extern "system" fn handle(_: u32) -> BOOL {
    match STOP.get() {
        Some(stop) => {
            stop.set();
            1
        }
        None => 0,
    }
}

/// Makes ^C, and the end of the console, set this event; once for a process.
///
/// # Errors
/// Those of SetConsoleCtrlHandler.
pub fn stop_on_interrupt(stop: Arc<Event>) -> io::Result<()> {
    let _ = STOP.set(stop);
    // SAFETY: the handler only sets an event.
    checked(unsafe { SetConsoleCtrlHandler(Some(handle), 1) })
}
