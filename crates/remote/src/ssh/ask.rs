//! A password that the user types.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::settings::Secret;

/// The longest one, in bytes: what a terminal takes as one line.
const LONGEST: usize = 4096;
/// What ends it for good: ^C and ^\.
const ABORT: [u8; 2] = [3, 28];

impl Secret {
    /// Asks for it at this process's terminal, without showing what is typed.
    ///
    /// # Errors
    /// Without a terminal; `Interrupted` for ^C; `UnexpectedEof` for ^D.
    pub fn ask(question: &str) -> io::Result<Secret> {
        let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let silent = Silent::new(terminal.try_clone()?)?;
        terminal.write_all(question.as_bytes())?;
        let mut line = Vec::new();
        let answer = loop {
            let mut byte = [0];
            match terminal.read(&mut byte) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) if ABORT.contains(&byte[0]) => break Err(io::ErrorKind::Interrupted.into()),
                Ok(_) if matches!(byte[0], b'\n' | b'\r') => break Ok(()),
                Ok(_) if byte[0] == 4 && line.is_empty() => {
                    break Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(_) if matches!(byte[0], 8 | 127) => drop(line.pop()),
                // ^U
                Ok(_) if byte[0] == 21 => line.clear(),
                Ok(_) if line.len() < LONGEST => line.push(byte[0]),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let secret = Secret::new(line);
        drop(silent);
        terminal.write_all(b"\n")?;
        answer.map(|()| secret)
    }
}

/// A terminal that neither shows keys nor makes signals of them: one that ended us would leave it so.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new(terminal: File) -> io::Result<Silent> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
        Ok(Silent { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
