//! A password that the user types.

use std::fs::File;
use std::io::{self, Read, Write};

use thither_term::{Keeper, RawMode};

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
        // Neither shown, nor made signals of: one that ended us would leave the terminal so. The keeper is for those that do.
        let raw = RawMode::enter(&terminal)?;
        let keeper = Keeper::start(&raw, &terminal)?;
        terminal.write_all(question.as_bytes())?;
        // It never grows, which would leave copies.
        let mut line = Vec::with_capacity(LONGEST);
        let answer = loop {
            let mut byte = [0];
            match terminal.read(&mut byte) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) if ABORT.contains(&byte[0]) => break Err(io::ErrorKind::Interrupted.into()),
                Ok(_) if matches!(byte[0], b'\n' | b'\r') => break Ok(()),
                Ok(_) if byte[0] == 4 && line.is_empty() => {
                    break Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(_) if matches!(byte[0], 8 | 127) => {
                    // A whole character of UTF-8, whose other bytes begin with the bits 10.
                    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                // ^U
                Ok(_) if byte[0] == 21 => line.clear(),
                Ok(_) if line.len() < LONGEST => line.push(byte[0]),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let secret = Secret::new(line);
        drop((keeper, raw));
        terminal.write_all(b"\n")?;
        answer.map(|()| secret)
    }
}
