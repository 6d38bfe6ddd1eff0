//! A script of this machine for an interpreter over there, where nothing is written: it travels in the arguments.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thither::Error;
use thither::error::quoted;

use crate::report::Failure;

/// Puts it together over there and runs it.
const RUNNER: &str = include_str!("script.py");

/// The longest script, in bytes: 1 MiB in base64, half of what all arguments and variables may be (execve(2)).
const LONGEST: usize = 768 * 1024;

/// The longest piece of it, in bytes of base64; an argument may have 128 KiB (`MAX_ARG_STRLEN`, execve(2)).
const PIECE: usize = 96 * 1024;

/// The interpreter's arguments for the script of this name and its arguments.
///
/// They are `-c RUNNER N PIECE... NAME ARG...` with N pieces.
pub(super) fn arguments(name: &OsStr, args: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let source = source(name)?;
    let text = STANDARD.encode(source);
    let pieces = (0..text.len()).step_by(PIECE);
    let mut all: Vec<OsString> = ["-c", RUNNER, &pieces.len().to_string()].map(Into::into).into();
    all.extend(pieces.map(|at| OsString::from(&text[at..text.len().min(at + PIECE)])));
    all.push(name.to_owned());
    all.extend_from_slice(args);
    Ok(all)
}

/// What is in the file.
fn source(name: &OsStr) -> Result<Vec<u8>, Failure> {
    let unreadable = |source: io::Error| {
        let action = format!("read the script {}", quoted(name));
        let failure = Error::Copy { action, source: Box::new(source), hint: None };
        Failure::new(crate::report::chain(&failure))
            .hint("a script is a file of this machine; `thither run` has one of over there")
    };
    let mut source = Vec::new();
    let file = File::open(name).map_err(unreadable)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut source).map_err(unreadable)?;
    let elsewhere = "copy it there with `thither cp`, and run it by `thither run`";
    match source.len() > LONGEST {
        _ if source.contains(&0) => {
            let text = format!("{} is no script: there are NUL bytes in it", quoted(name));
            Err(Failure::new(text).hint(elsewhere))
        }
        true => {
            let text =
                format!("{} is too long to be sent along: {LONGEST} bytes are", quoted(name));
            Err(Failure::new(format!("{text} the most")).hint(elsewhere))
        }
        false => Ok(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of pieces of a script of `length` bytes, and their longest.
    #[track_caller]
    fn check(length: usize, pieces: usize, longest: usize) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        std::fs::write(&file, &source).unwrap();
        let args = ["-x".into(), "".into()];
        let all = arguments(file.path().as_os_str(), &args).ok().expect("it fits");
        assert_eq!(all[0], "-c");
        assert_eq!(all[2], *pieces.to_string());
        let (sent, rest) = all[3..].split_at(pieces);
        assert_eq!(rest, [file.path().as_os_str(), args[0].as_os_str(), args[1].as_os_str()]);
        assert_eq!(sent.iter().map(|piece| piece.len()).max().unwrap_or_default(), longest);
        let text: String = sent.iter().map(|piece| piece.to_str().unwrap()).collect();
        assert_eq!(STANDARD.decode(text).unwrap(), source);
    }

    #[test]
    fn pieces() {
        check(0, 0, 0);
        check(1, 1, 4);
        check(PIECE / 4 * 3, 1, PIECE);
        check(PIECE / 4 * 3 + 1, 2, PIECE);
        check(LONGEST, 11, PIECE);
    }
}
