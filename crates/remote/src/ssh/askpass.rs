//! A password on its way to `ssh`: it runs a program of ours to ask for it, which asks us over a socket in a folder that only
//! this user can look into. So it is in no command line, no environment and no file.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use thither_place::peer::peer_of;
use thither_place::state::StateFolder;
use thither_term::Interest;

use super::program::Effective;
use super::settings::Secret;

/// The variable that says where to ask.
pub(super) const SOCKET: &str = "THITHER_ASKPASS";
/// The longest question, in bytes.
const LONGEST: usize = 4096;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// This program, once it has said that it answers.
pub(super) static ANSWERS: OnceLock<PathBuf> = OnceLock::new();

/// Lets this program hand passwords to `ssh`. To be called first in `main`, with its arguments; if it gives an exit code, the
/// program was started by `ssh` to ask for a password, and has to end with it.
///
/// The `thither` tool does so. A program that uses the library and gives a [`password`](super::Settings::password) to the
/// user's own `ssh` has to.
#[must_use]
pub fn answer_for_ssh() -> Option<ExitCode> {
    if let Some(socket) = env::var_os(SOCKET) {
        let question = env::args_os().nth(1).unwrap_or_default();
        return Some(match ask(&socket, &question) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        });
    }
    if let Ok(program) = env::current_exe() {
        // Whoever is second has the same path.
        let _ = ANSWERS.set(program);
    }
    None
}

fn ask(socket: &OsString, question: &OsString) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(question.as_encoded_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    answer.push(b'\n');
    io::stdout().write_all(&answer)
}

/// Who answers.
#[derive(Debug)]
pub(super) struct Askpass {
    listener: UnixListener,
    path: PathBuf,
    program: PathBuf,
    password: Secret,
    /// The questions that it is the answer to.
    questions: [String; 2],
}

impl Askpass {
    pub(super) fn start(password: &Secret, effective: &Effective) -> io::Result<Askpass> {
        let program = ANSWERS.get().cloned().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "this program cannot hand a password to ssh: it has to call `answer_for_ssh` first of all",
            )
        })?;
        let folder = loop {
            if let Some(folder) = StateFolder::open()? {
                break folder;
            }
        };
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.path.join(format!("ask-{name}"));
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let Effective { user, host, .. } = effective;
        // As of sshconnect2.c: the names are cut there.
        let (short, long) = (cut(user, 30), cut(host, 128));
        let questions = [format!("{short}@{long}'s password: "), format!("({user}@{host}) ")];
        Ok(Askpass { listener, path, program, password: password.clone(), questions })
    }

    /// What `ssh` needs to know of it.
    pub(super) fn variables(&self) -> [(&'static str, OsString); 3] {
        [
            ("SSH_ASKPASS", self.program.clone().into()),
            ("SSH_ASKPASS_REQUIRE", "force".into()),
            (SOCKET, self.path.clone().into()),
        ]
    }

    pub(super) fn interest(&self) -> Interest<'_> {
        Interest::Read(self.listener.as_fd())
    }

    /// Answers one question, if it is the password's. Others (a jump host's, a host key's, a key's passphrase) get no answer.
    pub(super) fn answer(&self) -> io::Result<()> {
        let mut stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if peer_of(&stream)?.uid != rustix::process::geteuid() {
            return Ok(());
        }
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut question = Vec::new();
        // One that breaks off has no answer.
        if (&stream).take(LONGEST as u64).read_to_end(&mut question).is_err() {
            return Ok(());
        }
        if is_asked(&self.questions, &String::from_utf8_lossy(&question)) {
            let _ = stream.write_all(self.password.expose());
        }
        Ok(())
    }
}

impl Drop for Askpass {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// Whether it is the first of these questions, or begins with the second (keyboard-interactive) and asks for a password.
fn is_asked(questions: &[String; 2], question: &str) -> bool {
    let [password, interactive] = questions;
    question == password
        || question.strip_prefix(interactive.as_str()).is_some_and(|rest| {
            let rest = rest.trim().to_lowercase();
            rest == "password:" || rest == "password"
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let questions = ["me@web's password: ".to_owned(), "(me@web) ".to_owned()];
        let check =
            |question, answered| assert_eq!(is_asked(&questions, question), answered, "{question}");
        check("me@web's password: ", true);
        check("(me@web) Password: ", true);
        check("me@bastion's password: ", false);
        check("(me@bastion) Password: ", false);
        check("(me@web) One-time code: ", false);
        check("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", false);
        check("Enter passphrase for key '/k': ", false);
        check("", false);
    }
}
