//! The user's terminal and ptys: raw mode, window size, bounded pumps over one poll, signals as readable bytes.
//!
//! It knows nothing of what is at the other end. A command at a terminal of its own, its output copied to ours:
//!
//! ```
//! use std::process::Command;
//! use thither_term::{Pty, Pump, Pumps, WindowSize};
//!
//! let Pty { leader, follower } = Pty::open(WindowSize { cols: 132, rows: 50 })?;
//! let mut child = Command::new("tty").stdin(follower.try_clone()?).stdout(follower).spawn()?;
//!
//! let mut pumps = Pumps::new();
//! pumps.add(Pump::new(leader, std::io::stdout())?.keep_open());
//! pumps.run()?;   // until the follower is closed
//! assert!(child.wait()?.success());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Everything undoes itself when dropped: [`RawMode`], [`Nonblocking`], [`Signals`].
//!
//! # For those who come from dockerpty
//!
//! | dockerpty | here |
//! |---|---|
//! | `Terminal(fd, raw)`, `start`, `stop` | [`RawMode::enter`], and dropping it; to stay cooked, don't |
//! | `Terminal.israw` | [`std::io::IsTerminal`] |
//! | `WINCHHandler` | [`Signals::on`] with `SIGWINCH` |
//! | `size(fd)`, rows first | [`WindowSize::of`], columns first |
//! | `set_blocking(fd, False)` | [`Nonblocking::set`]; for inherited terminals [`reopen`] |
//! | `select(read, write, timeout)` | [`poll()`] |
//! | `Stream(fd)`: `read`, `write`, `do_write`, `needs_write`, `close` | [`Pump::fill`], [`Pump::push`], [`Pump::drain`], [`Pump::buffered`], [`Pump::close`] |
//! | `Pump(from, to)`, `flush`, `is_done`, `eof` | [`Pump::new`], [`Pump::fill`], [`Pump::is_done`], [`Filled::End`] |
//! | `Pump(wait_for_output=False)` | [`Pump::unawaited`] |
//! | `Pump(propagate_close=False)` | [`Pump::keep_open`] |
//! | the loop of `PseudoTerminal` | [`Pumps::run`] |

pub mod size;
pub mod raw;
pub mod keeper;
pub mod modes;
pub mod pty;
pub mod descriptor;
pub mod signals;
pub mod poll;
pub mod watch;
pub mod destination;
pub mod pump;
pub mod pumps;
mod visible;

pub use descriptor::{Nonblocking, reopen};
pub use destination::{Destination, Spliced};
pub use keeper::Keeper;
pub use modes::ScreenModes;
pub use poll::{Interest, Ready, poll};
pub use pty::{Pty, end_of_input};
pub use pump::{Drained, Filled, Pump};
pub use pumps::Pumps;
pub use raw::RawMode;
pub use signals::{Received, Sender, Signals, reraise, suspend_self};
pub use size::WindowSize;
pub use watch::Watch;

#[cfg(test)]
mod testing {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// Runs `work` in a thread of its own, and fails if it doesn't end.
    #[track_caller]
    pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        let _running = thread::spawn(move || sender.send(work()));
        receiver.recv_timeout(Duration::from_secs(30)).expect("it failed, or was stuck for 30 s")
    }
}
