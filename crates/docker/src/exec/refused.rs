//! What an engine says of a program that it cannot start, in words alone.

use std::io;

use thither_place::Error as There;

use crate::error::Error;

/// Whether an engine's words are about the program, and not about the container or the directory.
pub(crate) fn is_about_the_program(message: &str) -> bool {
    message.contains("OCI runtime exec failed")
        || message.contains("OCI runtime create failed")
        || message.contains("failed to create task for container")
}

/// The engine could not start the program; it says why in words alone.
pub(crate) fn refused(place: &str, program: &str, said: &str) -> There {
    let kinds = [
        ("executable file not found", io::ErrorKind::NotFound),
        // Of the program's path; a directory is named by `chdir`.
        ("no such file or directory", io::ErrorKind::NotFound),
        ("permission denied", io::ErrorKind::PermissionDenied),
        ("exec format error", io::ErrorKind::InvalidInput),
        ("is a directory", io::ErrorKind::IsADirectory),
    ];
    let place = place.to_owned();
    let said = said.trim_end_matches(": unknown").trim();
    if !said.contains("chdir")
        && let Some((_, kind)) = kinds.iter().find(|(words, _)| said.contains(words))
    {
        let source = match kind {
            io::ErrorKind::NotFound => io::Error::from_raw_os_error(2),
            io::ErrorKind::PermissionDenied => io::Error::from_raw_os_error(13),
            kind => io::Error::new(*kind, said.rsplit(": ").next().unwrap_or(said).to_owned()),
        };
        return There::Spawn { program: program.to_owned(), place, source, hint: None };
    }
    let words = said.strip_prefix("OCI runtime exec failed: ").unwrap_or(said);
    let source = Error::Refused { status: 0, message: words.to_owned() };
    let hint = said.contains("chdir").then(|| "name a directory that is there".to_owned());
    There::Place { action: "start the command".into(), place, source: Box::new(source), hint }
}
