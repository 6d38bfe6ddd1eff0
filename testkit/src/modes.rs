//! The modes of a terminal.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex as S, tcgetattr,
};

/// The modes of a terminal, to be compared (termios(3)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes {
    /// `c_iflag`.
    pub input: InputModes,
    /// `c_oflag`.
    pub output: OutputModes,
    /// `c_cflag`.
    pub control: ControlModes,
    /// `c_lflag`.
    pub local: LocalModes,
    /// `c_cc`, as far as Linux uses it: `VINTR` to `VEOL2`.
    pub special: [u8; 17],
}

impl Modes {
    /// Those of a terminal, or of a pty through its leader.
    ///
    /// # Errors
    /// When it is no terminal.
    pub fn of(terminal: impl AsFd) -> io::Result<Modes> {
        let modes = tcgetattr(terminal)?;
        Ok(Modes {
            input: modes.input_modes,
            output: modes.output_modes,
            control: modes.control_modes,
            local: modes.local_modes,
            special: SPECIAL.map(|index| modes.special_codes[index]),
        })
    }

    /// Whether neither lines, echo nor signals are the terminal's business.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        !self.local.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

/// All that Linux uses, in its order.
const SPECIAL: [S; 17] = [
    S::VINTR,
    S::VQUIT,
    S::VERASE,
    S::VKILL,
    S::VEOF,
    S::VTIME,
    S::VMIN,
    S::VSWTC,
    S::VSTART,
    S::VSTOP,
    S::VSUSP,
    S::VEOL,
    S::VREPRINT,
    S::VDISCARD,
    S::VWERASE,
    S::VLNEXT,
    S::VEOL2,
];
