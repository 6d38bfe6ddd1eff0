//! Credential helpers: `docker-credential-NAME get` takes the server's name on standard input, and answers in JSON on standard
//! output. On failure it says why there, and its exit code is not 0.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::fs::{Access, access};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use thither_term::{Interest, Nonblocking, poll};

use super::{Credentials, CredentialsError, Lookup, Secret};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// How much of what a helper says gets into an error, in characters.
const SAID: usize = 300;

/// The user's name that stands for a token, by the helpers' protocol.
const TOKEN: &str = "<token>";

/// What a helper says when it has nothing, by the helpers' protocol. It is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

/// What the helper of this name has for the server.
pub(super) fn ask(
    lookup: &Lookup<'_>,
    name: &str,
    server: &str,
) -> Result<Option<Credentials>, CredentialsError> {
    if !is_name(name) {
        return Err(CredentialsError::Name { helper: name.to_owned() });
    }
    let helper = format!("docker-credential-{name}");
    let failed = |source| CredentialsError::Run { helper: helper.clone(), source };
    let program = find(lookup, &helper)
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::NotFound, "it is not in PATH")))?;
    tracing::debug!(helper, server, "credential helper");
    let deadline = Instant::now().checked_add(lookup.limit);
    let Some((status, output)) = run(&program, server, deadline).map_err(failed)? else {
        return Err(CredentialsError::TimedOut { helper, limit: lookup.limit });
    };
    if !status.success() {
        let said = String::from_utf8_lossy(&output);
        let said = said.trim().lines().next().unwrap_or_default();
        if said.contains(NOT_FOUND) {
            return Ok(None);
        }
        let said = match said {
            "" => status.to_string(),
            said => said.chars().take(SAID).collect(),
        };
        return Err(CredentialsError::Failed { helper, server: server.to_owned(), said });
    }
    let answer: Option<Answer> = serde_json::from_slice(&output).ok();
    match answer.filter(|answer| !answer.secret.reveal().is_empty()) {
        Some(answer) => Ok(Some(credentials(server, answer))),
        None => Err(CredentialsError::Answer { helper, server: server.to_owned() }),
    }
}

fn credentials(server: &str, Answer { username, secret }: Answer) -> Credentials {
    let token = username == TOKEN;
    Credentials {
        username: (!token && !username.is_empty()).then_some(username),
        password: (!token).then(|| secret.clone()),
        server: server.to_owned(),
        identitytoken: token.then_some(secret),
        registrytoken: None,
    }
}

/// No slash and no dot at the start, so it is part of a file's name and never a path.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(allowed)
}

/// The program in the absolute folders of `PATH`: one that depends on where the user happens to be is not theirs.
fn find(lookup: &Lookup<'_>, helper: &str) -> Option<PathBuf> {
    std::env::split_paths(&lookup.path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(helper))
        .find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
}

/// A child that does not outlive its deadline.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its exit and its output; `None` if it did not end in time. What it started and left behind is not waited for.
fn run(
    program: &Path,
    server: &str,
    deadline: Option<Instant>,
) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Running(command.spawn()?);
    let pid = i32::try_from(child.0.id()).ok().and_then(Pid::from_raw);
    let ended = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    if let Some(mut stdin) = child.0.stdin.take() {
        // It is shorter than a pipe is wide. A helper that does not read it knows best.
        let _ = stdin.write_all(server.as_bytes());
    }
    let stdout = child.0.stdout.take().map(OwnedFd::from).ok_or(io::ErrorKind::BrokenPipe)?;
    let stdout = Nonblocking::set(stdout)?;
    let mut output = Output { from: &stdout, bytes: Vec::new(), open: true };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let reading = if output.open { Interest::Read(stdout.as_fd()) } else { Interest::Nothing };
        let ready = poll(&[reading, Interest::Read(ended.as_fd())], left)?;
        output.read()?;
        if ready[1].now {
            let status = child.0.wait()?;
            return Ok(Some((status, output.bytes)));
        }
        // Also for one that writes without end.
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
    }
}

struct Output<'a> {
    from: &'a Nonblocking<OwnedFd>,
    bytes: Vec<u8>,
    open: bool,
}

impl Output<'_> {
    /// Reads what is there.
    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        while self.open {
            match rustix::io::retry_on_intr(|| rustix::io::read(self.from, &mut chunk)) {
                Ok(0) => self.open = false,
                Ok(read) => self.bytes.extend_from_slice(&chunk[..read]),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
            if self.bytes.len() > LONGEST {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        Ok(())
    }
}
