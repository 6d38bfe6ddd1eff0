//! Our control masters: one for each host and way to get there, shared by all programs of the user.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sha2::{Digest, Sha256};
use thither_place::state::StateFolder;
use thither_place::state::lock::{self, Kind};
use thither_place::{Error, Result};
use thither_term::{Interest, poll};

use super::about::{self, About};
use super::askpass::{self, Askpass};
use super::failure::{self, failed};
use super::line::Shell;
use super::mux::{Mux, News, Session};
use super::program::{self, Effective};
use super::proxy::PROXY;
use super::settings::Settings;
use super::sweep;

/// How long a master stays that nobody uses.
pub const PERSIST: Duration = Duration::from_secs(600);

/// The longest path of a socket, in bytes: that of unix(7), less what `ssh` appends while it makes one.
const LONGEST_PATH: usize = 107 - 17;
/// How many masters one host may have: a server allows each only so many sessions (`MaxSessions`, 10 by default).
pub(super) const MASTERS: u32 = 32;
/// How often we look whether another program has started the master that we both want.
const LOOK: Duration = Duration::from_millis(20);
/// After how many looks the user is told what we wait for: 2 seconds.
const PATIENT_LOOKS: u32 = 100;
/// For how long it is believed what was found out about a host: what its configuration includes may have changed.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a login shell may take to say which it is.
const SHELL_ANSWERS: Duration = Duration::from_secs(5);

/// A master, whether it runs or not.
#[derive(Clone, Debug)]
pub(super) struct Master {
    pub(super) path: PathBuf,
    settings: Settings,
    number: u32,
    /// Nobody is to be asked for anything: a command has the terminal.
    unattended: bool,
}

impl Master {
    /// The master of this number for these settings. `None` where there cannot be one.
    pub(super) fn new(settings: &Settings, number: u32) -> io::Result<Option<Master>> {
        let folder = state_folder()?;
        let path = folder.path.join(format!("ssh-{}-{number}", key(settings)));
        let master = Master { path, settings: settings.clone(), number, unattended: false };
        Ok((number < MASTERS && master.path.as_os_str().len() <= LONGEST_PATH).then_some(master))
    }

    /// The next one of the same host, for what this one has no room for.
    pub(super) fn next(&self) -> io::Result<Option<Master>> {
        Master::new(&self.settings, self.number + 1)
    }

    /// The same, but started without a question.
    pub(super) fn unattended(mut self) -> Master {
        self.unattended = true;
        self
    }

    /// A connection to it, running or not.
    pub(super) fn connect(&self, place: &str) -> Result<Option<Mux>> {
        match self.running().map_err(|source| here(place, source))? {
            Some(mux) => Ok(Some(mux)),
            None => self.start(&self.settings, place, None),
        }
    }

    /// A connection to it if it runs.
    ///
    /// # Errors
    /// As [`Mux::connect`]: `Unsupported` if it is not to be used.
    pub(super) fn running(&self) -> io::Result<Option<Mux>> {
        match Mux::connect(&self.path) {
            Ok(mux) => Ok(Some(mux)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts it, unless somebody else does.
    ///
    /// # Errors
    /// Why the host cannot be reached, or [`Error::Cancelled`].
    pub(super) fn start(
        &self,
        settings: &Settings,
        place: &str,
        cancel: Option<&Arc<OwnedFd>>,
    ) -> Result<Option<Mux>> {
        let here = |source: io::Error| here(place, source);
        let lock_path = self.beside("lock");
        let mut lock = sweep::lock_file(&lock_path).map_err(here)?;
        let mut looks = 0_u32;
        while !lock::try_lock(&lock, Kind::Exclusive).map_err(here)?
            || !sweep::is_still(&lock, &lock_path)
        {
            if wait(&[Interest::Nothing], cancel, Some(LOOK)).map_err(here)?.is_none() {
                return Err(Error::Cancelled { place: place.into() });
            }
            looks += 1;
            if looks == PATIENT_LOOKS {
                tracing::warn!("waiting for another program that connects to {place}");
            }
            lock = sweep::lock_file(&lock_path).map_err(here)?;
        }
        if let Some(folder) = self.path.parent().map(Path::to_owned) {
            // While `ssh` connects. If we end before it has, the next one does it.
            let _ = thread::Builder::new()
                .name("ssh sweep".into())
                .spawn(move || sweep::sweep(&folder));
        }
        if let Some(mux) = self.running().map_err(here)? {
            return Ok(Some(mux));
        }
        remove(&self.path).map_err(here)?;
        // Asking takes as long as all the rest that we do. Who is asked for a password has to be known for certain.
        let noted = self.noted();
        let effective = match noted.filter(|_| settings.password.is_none()) {
            Some(about) => about.effective(),
            None => Effective::of(settings).map_err(|source| match source.kind() {
                io::ErrorKind::Other => failed(place, source.to_string().as_bytes()),
                _ => no_program(place, source),
            })?,
        };
        self.run(settings, &effective, place, cancel)?;
        let Some(mux) = self.running().map_err(here)? else { return Ok(None) };
        if noted.is_none() {
            let shell = self.ask_for_shell().unwrap_or_default();
            self.note(&About::of(shell, &effective)).map_err(here)?;
        }
        Ok(Some(mux))
    }

    /// Runs `ssh` until it has connected and gone into the background.
    fn run(
        &self,
        settings: &Settings,
        effective: &Effective,
        place: &str,
        cancel: Option<&Arc<OwnedFd>>,
    ) -> Result<()> {
        let mut command = Command::new(program::program());
        // Our socket and nothing else: no forwardings of the user's own, no terminal, no command.
        command.args([
            "-M",
            "-N",
            "-f",
            "-T",
            "-o",
            "ClearAllForwardings=yes",
            "-o",
            "RemoteCommand=none",
        ]);
        let mut path = OsString::from("ControlPath=");
        path.push(escaped(&self.path));
        command.arg("-o").arg(path).arg("-o").arg(format!("ControlPersist={}", PERSIST.as_secs()));
        command.args(program::options(settings, effective));
        if self.unattended && settings.password.is_none() {
            command.args(["-o", "BatchMode=yes"]);
        }
        let askpass = settings.password.as_ref().map(|password| {
            command.args(["-o", "NumberOfPasswordPrompts=1"]);
            Askpass::start(password, effective)
        });
        let askpass = askpass.transpose().map_err(|source| here(place, source))?;
        // After these words `ssh` takes no more options.
        command.arg("--").arg(&settings.host);
        // Those that are not for this one: we may be helping another `ssh` ourselves.
        command.env_remove(askpass::SOCKET).env_remove(PROXY);
        if let Some(askpass) = &askpass {
            command.envs(askpass.variables());
        }
        // A master keeps its standard streams.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| no_program(place, source))?;
        let ended = end_of(&mut child, askpass.as_ref(), cancel);
        match ended {
            Ok(Some((true, _))) => Ok(()),
            Ok(Some((false, stderr))) => Err(failed(place, &stderr)),
            Ok(None) => {
                end(&mut child);
                Err(Error::Cancelled { place: place.into() })
            }
            Err(source) => {
                end(&mut child);
                Err(here(place, source))
            }
        }
    }

    /// What is known of the host.
    pub(super) fn about(&self) -> About {
        let text = fs::read_to_string(self.about_path()).unwrap_or_default();
        About::parse(&text).unwrap_or_else(|| {
            // Who started it was killed before it had noted it, or has not yet.
            let about = Effective::of(&self.settings).and_then(|effective| {
                let about = About::of(self.ask_for_shell()?, &effective);
                self.note(&about)?;
                Ok(about)
            });
            about.unwrap_or_default()
        })
    }

    /// The same if it is new enough for another master, too.
    fn noted(&self) -> Option<About> {
        let path = self.about_path();
        let age = fs::metadata(&path).ok()?.modified().ok()?.elapsed().ok()?;
        About::parse(&fs::read_to_string(path).ok()?).filter(|_| age < FRESH)
    }

    fn note(&self, about: &About) -> io::Result<()> {
        let new = self.beside(&format!("new{}", std::process::id()));
        fs::write(&new, about.to_string())?;
        fs::rename(new, self.about_path())
    }

    /// It is the same for all masters of one host.
    fn about_path(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let key = name.trim_start_matches("ssh-").split('-').next().unwrap_or_default();
        self.path.with_file_name(format!("about-{key}"))
    }

    /// Which login shell the user has over there. `echo` is a word of every shell.
    fn ask_for_shell(&self) -> io::Result<Shell> {
        let Some(mut mux) = self.running()? else { return Ok(Shell::Unknown) };
        let (mut reader, writer) = io::pipe()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let session = Session {
            term: None,
            line: b"echo thither $SHELL",
            subsystem: false,
            agent: false,
            variables: &[],
        };
        mux.open(&session, [null.as_fd(), writer.as_fd(), null.as_fd()])?;
        drop(writer);
        if mux.wait(Some(SHELL_ANSWERS))? != News::Opened {
            return Ok(Shell::Unknown);
        }
        let mut text = Vec::new();
        loop {
            let ready = poll(&[Interest::Read(reader.as_fd())], Some(SHELL_ANSWERS))?;
            let mut chunk = [0; 1024];
            if !ready[0].now || text.len() > failure::LONGEST {
                return Ok(Shell::Unknown);
            }
            match reader.read(&mut chunk)? {
                0 => break,
                n => text.extend_from_slice(&chunk[..n]),
            }
        }
        // A session that has not gone yet may be one too many for the host.
        while mux.wait(Some(SHELL_ANSWERS))? != News::End {}
        Ok(about::shell_in(&String::from_utf8_lossy(&text)))
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.path.with_extension(what)
    }
}

/// The end of `ssh`, and what it said; `None` if `cancel` came first.
fn end_of(
    child: &mut Child,
    askpass: Option<&Askpass>,
    cancel: Option<&Arc<OwnedFd>>,
) -> io::Result<Option<(bool, Vec<u8>)>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::io::ioctl_fionbio(&stderr, true)?;
    let mut said = Vec::new();
    let mut open = true;
    loop {
        let text = if open { Interest::Read(stderr.as_fd()) } else { Interest::Nothing };
        let asked = askpass.map_or(Interest::Nothing, Askpass::interest);
        let Some(ready) = wait(&[Interest::Read(pidfd.as_fd()), text, asked], cancel, None)? else {
            return Ok(None);
        };
        let ended = ready[0];
        if ready[1] || ended {
            open = read_some(&mut stderr, &mut said)?;
        }
        if let (true, Some(askpass)) = (ready[2], askpass) {
            askpass.answer()?;
        }
        if ended {
            let success = child.wait()?.success();
            // A ^C at the terminal ends `ssh` as well, perhaps before we look.
            if !success && wait(&[], cancel, Some(Duration::ZERO))?.is_none() {
                return Ok(None);
            }
            return Ok(Some((success, said)));
        }
    }
}

/// Whether more may come.
fn read_some(from: &mut impl Read, text: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(n) => {
                text.extend_from_slice(&chunk[..n]);
                // The end of it says why it ended.
                let excess = text.len().saturating_sub(failure::LONGEST);
                text.drain(..excess);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Which are ready; `None` if `cancel` is.
fn wait(
    interests: &[Interest<'_>],
    cancel: Option<&Arc<OwnedFd>>,
    timeout: Option<Duration>,
) -> io::Result<Option<Vec<bool>>> {
    let cancel = cancel.map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd()));
    let all: Vec<Interest<'_>> = interests.iter().copied().chain([cancel]).collect();
    let mut ready: Vec<bool> = poll(&all, timeout)?
        .iter()
        .map(|ready| ready.now || ready.hang_up || ready.error)
        .collect();
    Ok((!ready.pop().unwrap_or_default()).then_some(ready))
}

fn end(child: &mut Child) {
    // It has ended already, or does now.
    let _ = child.kill();
    let _ = child.wait();
}

/// A path in an option of `ssh`, which knows `%` and quotes.
fn escaped(path: &Path) -> OsString {
    let mut text = Vec::from(b"\"");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' => text.extend_from_slice(b"%%"),
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
    std::os::unix::ffi::OsStringExt::from_vec(text)
}

/// What a master is of: two programs that would connect in different ways do not share one. The configuration's own files count;
/// what they include does not.
fn key(settings: &Settings) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(program::program().as_bytes());
    add(settings.host.as_bytes());
    add(format!("{:?}", (settings.port, &settings.user, settings.host_keys)).as_bytes());
    add(format!("{:?}", (&settings.identity, settings.password.is_some())).as_bytes());
    add(format!("{:?}", (settings.keep_alive, &settings.proxy)).as_bytes());
    // The same address is another host in another network.
    let network = fs::metadata("/proc/self/ns/net").map(|network| (network.dev(), network.ino()));
    add(format!("{:?}", network.ok()).as_bytes());
    for file in program::configuration().into_iter().flatten() {
        let metadata = fs::metadata(file).ok();
        let stamp = metadata.map(|file| (file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        add(format!("{stamp:?}").as_bytes());
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn state_folder() -> io::Result<StateFolder> {
    loop {
        if let Some(folder) = StateFolder::open()? {
            return Ok(folder);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::UnexpectedEof
    )
}

fn no_program(place: &str, source: io::Error) -> Error {
    let program = program::program();
    let hint = "install an ssh client, or name another one in THITHER_SSH".to_owned();
    let text = format!("cannot run {}: {source}", thither_place::error::quoted(program));
    Error::Enter { place: place.into(), source: text.into(), hint: Some(hint) }
}

pub(super) fn here(place: &str, source: io::Error) -> Error {
    Error::Enter { place: place.into(), source: Box::new(source), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_not_shared() {
        let settings = |host: &str| Settings { host: host.into(), ..Settings::default() };
        assert_eq!(key(&settings("a")), key(&settings("a")));
        assert_ne!(key(&settings("a")), key(&settings("b")));
        let user = Settings { user: Some("b".into()), ..settings("a") };
        assert_ne!(key(&settings("a")), key(&user));
        let host = Settings { host_keys: Some(super::super::HostKeys::Warning), ..settings("a") };
        assert_ne!(key(&settings("a")), key(&host));
    }
}
