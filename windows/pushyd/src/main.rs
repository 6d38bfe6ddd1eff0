//! `pushyd.exe`: runs what `smb:` places ask for on this Windows host, behind a named pipe, as the user who connected.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;

fn main() -> ExitCode {
    if cfg!(windows) {
        println!("thither's frames, version {}", thither_place::wire::frame::VERSION);
        return ExitCode::SUCCESS;
    }
    eprintln!("pushyd: this is a program for Windows: `cargo xtask dist windows` makes it");
    ExitCode::from(2)
}
