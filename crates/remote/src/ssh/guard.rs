//! Signals for what runs over there, and its end when we are gone: a second session, whose script knows our token.
//!
//! A control master passes on no signals, and sshd(8) leaves a program without a terminal alone when its session ends. The script
//! reads names of signals and sends them to the process group whose leader has the token in its command line. When its input ends
//! without `done`, we are gone, killed perhaps, or the connection is: then the group is ended.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thither_place::Error;

use super::line::Shell;
use super::master::{Master, here};
use super::mux::{Mux, News, Session};
use super::words::push_word;

/// What follows the token, as `$t`, and the user, as `$u`. A process of the group that is another user's can be reached by sudo
/// alone. Without a whole token it would find everybody, and in the `/proc` of another pid namespace the numbers of others.
const SCRIPT: &str = "\
[ ${#t} -ge 24 ]||exit;if [ -r /proc/self/stat ];then read -r n x </proc/self/stat;[ \"$n\" = $$ ]||exit;fi;\
l(){ if [ -r /proc/self/cmdline ];then grep -lsF -e \"$t\" /proc/[0-9]*/cmdline|while IFS=/ read -r a b p c;do echo \"$p\";done;\
else ps -A -o pid= -o args=|while read -r p c;do case $c in *\"$t\"*)echo \"$p\";;esac;done;fi;};\
k(){ for p in $(l);do case $p in ''|0*|1|*[!0-9]*)continue;;esac;kill -s \"$1\" -- \"-$p\"&&[ -n \"$u\" ]&&sudo -n -u \"$u\" kill -s \"$1\" -- \"-$p\";done 2>/dev/null;};\
while read -r s;do [ \"$s\" = done ]&&exit;k \"$s\";done;\
k HUP;k TERM;k CONT;sleep 1;k KILL";

/// The names of signals by their Linux numbers: those over there may be others.
const NAMES: [&str; 32] = [
    "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The name of a signal.
pub(super) fn signal_name(signal: i32) -> Option<&'static str> {
    usize::try_from(signal)
        .ok()
        .filter(|&number| number > 0)
        .and_then(|number| NAMES.get(number))
        .copied()
}

/// How long another master may take to open the session.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Guard {
    /// The session ends with it.
    mux: Mux,
    input: File,
    /// The other end of the input, until it is known that somebody has it.
    unopened: Option<OwnedFd>,
    line: Vec<u8>,
    elsewhere: Arc<Elsewhere>,
}

/// A session of another master, which may take its time.
#[derive(Debug, Default)]
struct Elsewhere {
    mux: Mutex<Option<Mux>>,
    done: AtomicBool,
}

impl Guard {
    /// Starts it, without waiting for it.
    pub(super) fn start(
        mut mux: Mux,
        shell: Shell,
        token: &str,
        user: Option<&str>,
    ) -> io::Result<Guard> {
        let line = line(shell, token, user);
        let (read, write) = io::pipe()?;
        open(&mut mux, &line, read.as_fd())?;
        let input = File::from(OwnedFd::from(write));
        let elsewhere = Arc::default();
        Ok(Guard { mux, input, unopened: Some(read.into()), line, elsewhere })
    }

    /// What is readable when there is news.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.mux.as_fd()
    }

    /// Waits until it is known that it is there. A host that has no room for it has some on another connection, which a thread
    /// makes: what is written meanwhile waits in the pipe.
    pub(super) fn opened(
        &mut self,
        master: &Master,
        place: &str,
        limit: Duration,
    ) -> io::Result<()> {
        let Some(read) = self.unopened.take() else { return Ok(()) };
        match self.mux.wait(Some(limit))? {
            News::Refused(why) => {
                tracing::debug!(why, "no room for a guard");
                let (line, master, place) = (self.line.clone(), master.clone(), place.to_owned());
                let elsewhere = Arc::clone(&self.elsewhere);
                let thread = thread::Builder::new().name("ssh guard".into());
                thread.spawn(move || {
                    if let Err(error) = elsewhere.open(&line, &read, master, &place) {
                        tracing::debug!(%error, "no guard over there");
                    }
                })?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&mut self, name: &str) -> io::Result<()> {
        writeln!(self.input, "{name}")
    }

    /// There is nothing to guard any more.
    pub(super) fn done(mut self) {
        self.elsewhere.done.store(true, Ordering::Release);
        // If it cannot be told it finds nothing.
        let _ = self.input.write_all(b"done\n");
    }
}

impl Elsewhere {
    fn open(
        &self,
        line: &[u8],
        read: &OwnedFd,
        mut master: Master,
        place: &str,
    ) -> Result<(), Error> {
        let here = |source| here(place, source);
        while let Some(next) = master.next().map_err(here)?.map(Master::unattended) {
            if self.done.load(Ordering::Acquire) {
                break;
            }
            let Some(mut mux) = next.connect(place)? else { break };
            open(&mut mux, line, read.as_fd()).map_err(here)?;
            if mux.wait(Some(PATIENCE)).map_err(here)? == News::Opened {
                *self.mux.lock().unwrap_or_else(PoisonError::into_inner) = Some(mux);
                break;
            }
            master = next;
        }
        Ok(())
    }
}

fn open(mux: &mut Mux, line: &[u8], input: BorrowedFd<'_>) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let session = Session { term: None, line, subsystem: false, agent: false, variables: &[] };
    mux.open(&session, [input, null.as_fd(), null.as_fd()])
}

/// The line of a guard: it reads names of signals, one in each line, and `done`.
pub(crate) fn line(shell: Shell, token: &str, user: Option<&str>) -> Vec<u8> {
    let script = script(token, user);
    match shell {
        Shell::Posix => script,
        // On Windows there is no token, and so no guard.
        Shell::Unknown | Shell::Windows(_) => {
            let mut line = b"exec sh -c ".to_vec();
            push_word(&mut line, OsStr::from_bytes(&script));
            line
        }
    }
}

/// The token is in two halves, so that the script does not find itself. It does not come by the input, which a master that has lost
/// us ends without passing on what we wrote: without a token the script would find everybody.
fn script(token: &str, user: Option<&str>) -> Vec<u8> {
    let (one, two) = token.split_at(token.len() / 2);
    let mut script = format!("t={one};t=${{t}}{two};u=").into_bytes();
    push_word(&mut script, sudo_user(user));
    script.push(b';');
    script.extend_from_slice(SCRIPT.as_bytes());
    script
}

/// As sudo(8) takes it, without a group.
fn sudo_user(user: Option<&str>) -> String {
    let name = user.unwrap_or_default().split(':').next().unwrap_or_default();
    match !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("#{name}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_does_not_find_itself() {
        let script = String::from_utf8(script("thither0123abcd", Some("7"))).unwrap();
        assert!(script.starts_with("t=thither;t=${t}0123abcd;u='#7';"), "{script}");
        assert!(!script.contains("thither0123abcd"));
    }

    #[test]
    fn names() {
        assert_eq!(signal_name(2), Some("INT"));
        assert_eq!(signal_name(9), Some("KILL"));
        assert_eq!(signal_name(15), Some("TERM"));
        assert_eq!(signal_name(18), Some("CONT"));
        assert_eq!(signal_name(28), Some("WINCH"));
        assert_eq!(signal_name(0), None);
        assert_eq!(signal_name(-1), None);
        assert_eq!(signal_name(64), None);
    }
}
