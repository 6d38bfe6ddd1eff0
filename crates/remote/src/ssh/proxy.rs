//! A stream of ours in place of TCP, for `ssh` beyond another hop: it runs this program again, which makes the stream.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use thither_term::{Pump, Pumps};

use super::askpass::{ANSWERS, SOCKET};
use super::words::push_word;

/// The variable that holds the address to connect from; the host and port are the arguments.
pub const PROXY: &str = "THITHER_PROXY";

/// What [`Settings::proxy`](super::Settings::proxy) is for a host that is reached from this address.
///
/// # Errors
/// `Unsupported` if this program has not said that it helps `ssh`.
pub fn proxy_command(address: &str) -> io::Result<String> {
    let program = ANSWERS.get().ok_or_else(|| {
        let text = "this program cannot help ssh: it has to call `answer_for_ssh` first of all";
        io::Error::new(io::ErrorKind::Unsupported, text)
    })?;
    let mut line = format!("env -u {SOCKET} ").into_bytes();
    push_word(&mut line, OsStr::new(&format!("{PROXY}={address}")));
    line.push(b' ');
    push_word(&mut line, program);
    let line = String::from_utf8(line).map_err(io::Error::other)?;
    // ssh_config(5): a percent sign is one of its tokens.
    Ok(format!("{} %h %p", line.replace('%', "%%")))
}

/// Joins our standard streams to a stream until it ends.
///
/// # Errors
/// Those of reading and writing.
pub fn relay(stream: OwnedFd) -> io::Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let stream = Arc::new(stream);
    let mut pumps = Pumps::new();
    pumps.add(Pump::new(stdin.as_fd(), stream.clone())?.unawaited());
    pumps.add(Pump::new(stream, stdout.as_fd())?);
    pumps.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        // Whoever is first sets it for all tests of this program.
        let program = ANSWERS.get_or_init(|| "/a b/100%".into());
        assert_eq!(program, OsStr::new("/a b/100%"));
        assert_eq!(
            proxy_command("docker:web?a=%20").unwrap(),
            "env -u THITHER_ASKPASS 'THITHER_PROXY=docker:web?a=%%20' '/a b/100%%' %h %p"
        );
    }
}
