//! The user's own `ssh`, and what is said to it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::settings::{HostKeys, KEEP_ALIVE, Settings};

/// The variables that name another program; the second one is pushy's.
const VARIABLES: [&str; 2] = ["THITHER_SSH", "PUSHY_NATIVE_SSH"];
/// The longest answer of `ssh -G` that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// The program.
pub(super) fn program() -> OsString {
    let named =
        VARIABLES.iter().find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    named.unwrap_or_else(|| "ssh".into())
}

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    let program = PathBuf::from(program());
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return is_executable(&program);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    env::split_paths(&path).any(|folder| is_executable(&folder.join(&program)))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// What the user's configuration says of a host, as far as we must know it: `ssh -G`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Effective {
    /// The name that passwords are asked for: an alias of its key, else its name.
    pub(super) host: String,
    pub(super) user: String,
    /// Nothing is said of unknown keys, but to ask.
    pub(super) asks_for_keys: bool,
    /// Nothing is said of silent connections.
    pub(super) is_patient: bool,
    pub(super) forwards_agent: bool,
}

impl Effective {
    /// Asks it.
    ///
    /// # Errors
    /// What it complains about, such as a bad line in a file.
    pub(super) fn of(settings: &Settings) -> io::Result<Effective> {
        let mut command = Command::new(program());
        command.arg("-G").args(identification(settings)).arg("--").arg(&settings.host);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(text));
        }
        Ok(Effective::parse(&output.stdout[..output.stdout.len().min(LONGEST)]))
    }

    fn parse(text: &[u8]) -> Effective {
        let text = String::from_utf8_lossy(text);
        let value = |wanted: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(' ')?;
                (key == wanted).then(|| value.trim().to_owned())
            })
        };
        Effective {
            host: value("hostkeyalias").or_else(|| value("hostname")).unwrap_or_default(),
            user: value("user").unwrap_or_default(),
            asks_for_keys: value("stricthostkeychecking").is_none_or(|value| value == "ask"),
            is_patient: value("serveraliveinterval").is_none_or(|value| value == "0"),
            forwards_agent: value("forwardagent").is_some_and(|value| value != "no"),
        }
    }
}

/// The options that say which host, and as whom.
fn identification(settings: &Settings) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    if let Some(port) = settings.port {
        args.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = &settings.user {
        args.extend(["-l".into(), user.into()]);
    }
    if let Some(identity) = &settings.identity {
        args.extend(["-i".into(), identity.into()]);
    }
    args
}

/// The options of a connection.
pub(super) fn options(settings: &Settings, effective: &Effective) -> Vec<OsString> {
    let mut args = identification(settings);
    let mut set = |option: String| args.extend([OsString::from("-o"), option.into()]);
    let host_keys = match settings.host_keys {
        None if effective.asks_for_keys => Some(HostKeys::Reject),
        other => other,
    };
    match host_keys {
        None => {}
        Some(HostKeys::Reject) => set("StrictHostKeyChecking=yes".into()),
        Some(HostKeys::AutoAdd) => set("StrictHostKeyChecking=accept-new".into()),
        Some(HostKeys::Warning) => {
            set("StrictHostKeyChecking=no".into());
            tracing::warn!(host = settings.host, "the key of the host is not checked");
        }
    }
    if let Some(timeout) = settings.timeout {
        set(format!("ConnectTimeout={}", whole_seconds(timeout)));
    }
    if let Some(proxy) = &settings.proxy {
        set(format!("ProxyCommand={proxy}"));
        set("ProxyJump=none".into());
    }
    let keep_alive = match settings.keep_alive {
        None => effective.is_patient.then_some(KEEP_ALIVE),
        other => other,
    };
    if let Some(interval) = keep_alive {
        set(format!(
            "ServerAliveInterval={}",
            if interval.is_zero() { 0 } else { whole_seconds(interval) }
        ));
        set("ServerAliveCountMax=3".into());
    }
    args
}

/// Whole seconds, at least one: `ssh` takes no others.
fn whole_seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).clamp(1, 1_000_000) as u64
}

/// A word of the command line that `ssh` would take for an option or a host for something else.
/// It may also become a word of a shell's, in a ProxyCommand.
pub(super) fn is_bad_host(host: &str) -> bool {
    let is_plain = |char: char| char.is_alphanumeric() || "._:%-".contains(char);
    host.is_empty() || host.starts_with('-') || !host.chars().all(is_plain)
}

/// The files whose changes may change what a host is.
pub(super) fn configuration() -> [Option<PathBuf>; 2] {
    let home = env::var_os("HOME").map(PathBuf::from);
    [home.map(|home| home.join(".ssh/config")), Some(OsStr::new("/etc/ssh/ssh_config").into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_of_a_host() {
        let text = b"host web\nuser me\nhostname 10.0.0.1\nserveraliveinterval 0\nstricthostkeychecking ask\nforwardagent no\n";
        let effective = Effective::parse(text);
        assert_eq!(effective.host, "10.0.0.1");
        assert_eq!(effective.user, "me");
        assert!(effective.asks_for_keys && effective.is_patient && !effective.forwards_agent);
        let text = b"hostkeyalias web\nhostname x\nserveraliveinterval 5\nstricthostkeychecking accept-new\nforwardagent yes\n";
        let effective = Effective::parse(text);
        assert_eq!(effective.host, "web");
        assert!(!effective.asks_for_keys && !effective.is_patient && effective.forwards_agent);
    }

    #[track_caller]
    fn check(settings: Settings, expected: &str) {
        let effective = Effective { asks_for_keys: true, is_patient: true, ..Effective::default() };
        let args = options(&settings, &effective);
        let args: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(args.join(" "), expected);
    }

    #[test]
    fn options_of_a_connection() {
        let alive = "-o ServerAliveInterval=15 -o ServerAliveCountMax=3";
        check(Settings::default(), &format!("-o StrictHostKeyChecking=yes {alive}"));
        check(
            Settings { host_keys: Some(HostKeys::AutoAdd), ..Settings::default() },
            &format!("-o StrictHostKeyChecking=accept-new {alive}"),
        );
        check(
            Settings {
                host_keys: Some(HostKeys::Warning),
                user: Some("me".into()),
                port: Some(2222),
                identity: Some("/k".into()),
                timeout: Some(Duration::from_millis(1500)),
                keep_alive: Some(Duration::ZERO),
                ..Settings::default()
            },
            "-p 2222 -l me -i /k -o StrictHostKeyChecking=no -o ConnectTimeout=2 -o ServerAliveInterval=0 \
             -o ServerAliveCountMax=3",
        );
    }
}
