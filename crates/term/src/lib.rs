//! The user's terminal and ptys.

pub mod descriptor;
pub mod modes;
pub mod poll;
pub mod pty;
pub mod pump;
pub mod pumps;
pub mod raw;
pub mod signals;
pub mod size;

pub use descriptor::{Nonblocking, reopen};
pub use modes::ScreenModes;
pub use poll::{Interest, Ready, poll};
pub use pty::{Pty, end_of_input};
pub use pump::{Drained, Filled, Pump};
pub use pumps::Pumps;
pub use raw::RawMode;
pub use signals::{Received, Sender, Signals, reraise, suspend_self};
pub use size::WindowSize;
