//! Another root beyond a hop.
//!
//! If `thither` is there, it does it: nothing is different then. Else a script does what it can with the tools of every Linux:
//! namespaces by unshare(1), the mounts by mount(8) where their mount points are, chroot(1). With `plain` it is chroot(1) alone.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use thither_chroot::{Mount, Source, default_mounts};
use thither_place::command::LOGIN_SHELL;
use thither_place::{Command, Place, Process, Program, Result, Stream, Streams};

use super::Outer;
use crate::address::{Hop, encode};
use crate::connect::ConnectError;
use crate::options::{Options, keys_of_every_place};

/// The `PATH` that a command is to have inside, which is not for what is run outside.
const PATH: &str = "THITHER_PATH";
const SET_PATH: &str = "PATH=$THITHER_PATH;export PATH;unset THITHER_PATH;";

fn has_path(command: &Command) -> bool {
    command.env.iter().any(|(name, value)| name == "PATH" && value.is_some())
}

/// What only `thither` itself can do.
const BEYOND_A_SCRIPT: [&str; 4] = ["overlay", "read-only", "subids", "skip-chdir"];

/// Functions for the mounts, and the root's path in `$root`. A mount point that is a link could lead anywhere, so there is nothing
/// mounted on it. `$optional` says that what is missing may be left out.
const MOUNTS: &str = "\
root=$1
shift
chroot=$(PATH=$PATH:/usr/sbin:/sbin command -v chroot) || {
    echo 'thither: there is no chroot(1) here' >&2
    exit 125
}
at() {
    way=$root left=${1#/} bad=
    case $1 in *..*) bad=1 ;; esac
    while [ -n \"$left\" ]; do
        way=$way/${left%%/*}
        [ -e \"$way\" ] && [ ! -L \"$way\" ] || bad=1
        case $left in */*) left=${left#*/} ;; *) left= ;; esac
    done
    [ -n \"$bad\" ] || return 0
    [ -n \"$optional\" ] && return 1
    echo \"thither: there is no mount point $1 in $root: make it, or leave the mount out\" >&2
    exit 125
}
on() {
    if [ -n \"$optional\" ]; then mount \"$@\" 2>/dev/null || :; else mount \"$@\" >&2 || exit 125; fi
}
";

/// What a script does before it enters.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Of unshare(1).
    flags: String,
    mounts: Vec<u8>,
}

/// See the [module](self).
pub(super) struct Beyond {
    outer: Arc<dyn Place>,
    address: String,
    root: OsString,
    /// As the address has it for `thither` over there.
    own_address: OsString,
    plain: bool,
    /// Or the first option that a script cannot keep.
    plan: std::result::Result<Plan, String>,
    has_thither: OnceLock<bool>,
}

impl Beyond {
    pub(super) fn new(
        outer: &Outer,
        hop: &Hop,
        root: &Path,
        options: Options<'_>,
    ) -> std::result::Result<Beyond, ConnectError> {
        let plain = options.iter().any(|(key, _)| key == "plain");
        let mut own_address = OsString::from("chroot:");
        own_address.push(encode(root.as_os_str()));
        let of_every_place: Vec<&str> = keys_of_every_place().collect();
        let own =
            hop.options().iter().filter(|option| !of_every_place.contains(&option.key.as_str()));
        for (nth, option) in own.enumerate() {
            if plain && option.key != "plain" {
                return Err(options.bad(
                    &option.key,
                    "chroot(1) alone, which `plain` asks for, has no such thing",
                ));
            }
            own_address.push(if nth == 0 { "?" } else { "&" });
            own_address.push(&option.key);
            if let Some(value) = &option.value {
                own_address.push("=");
                own_address.push(encode(value));
            }
        }
        Ok(Beyond {
            outer: outer.place.clone(),
            address: outer.beyond(hop),
            root: root.as_os_str().to_owned(),
            own_address,
            plain,
            plan: plan(options),
            has_thither: OnceLock::new(),
        })
    }

    /// Whether `thither` is on the `PATH` over there.
    fn has_thither(&self) -> Result<bool> {
        if let Some(has) = self.has_thither.get() {
            return Ok(*has);
        }
        let probe =
            Command::new("sh").args(["-c", "command -v thither >/dev/null"]).stdin(Stream::Null);
        let has = self.outer.output(&probe)?.exit.success();
        tracing::debug!(place = self.address, has, "looked for thither over there");
        Ok(*self.has_thither.get_or_init(|| has))
    }

    /// By `thither` over there. Variables go to it by its own environment, and only their names by its command line.
    fn by_thither(&self, command: &Command) -> Command {
        let verb = if matches!(command.program, Program::Named(_)) { "run" } else { "shell" };
        let mut words: Vec<OsString> = vec![verb.into()];
        let mut flag = |name: &str, value: Option<&OsStr>| {
            words.push(name.into());
            words.extend(value.map(OsStr::to_owned));
        };
        if verb == "run" && matches!(command.streams, Streams::Terminal(_)) {
            flag("--tty", None);
        }
        if let Some(user) = &command.user {
            flag("--user", Some(user.as_ref()));
        }
        if let Some(dir) = &command.dir {
            flag("--dir", Some(dir.as_os_str()));
        }
        if command.env_clear {
            flag("--clear-env", None);
        }
        for (name, _) in command.env.iter().filter(|(_, value)| value.is_some()) {
            flag("--env", Some(name));
        }
        words.push(self.own_address.clone());
        words.push("--".into());
        let mut outer = match has_path(command) {
            false => Command::new("thither"),
            true => Command::new("sh").args([
                "-c",
                &format!("thither=$(command -v thither);{SET_PATH}exec \"$thither\" \"$@\""),
                "sh",
            ]),
        };
        outer = outer.args(words);
        if let Program::Named(name) = &command.program {
            outer = outer.arg(name);
        }
        outer.args(command.args.iter().cloned())
    }

    /// By a script over there.
    fn by_script(&self, command: &Command) -> Result<Command> {
        let enter = enter(command);
        let script = match (&self.plan, self.plain) {
            (_, true) => [MOUNTS.as_bytes(), &enter].concat(),
            (Ok(plan), _) => plan.script(&enter),
            (Err(option), _) => {
                return Err(thither_place::Error::Unsupported {
                    action: format!(
                        "have the option `{option}`: there is no `thither` over there to do it"
                    ),
                    place: self.address.clone(),
                    hint: Some("install thither there, or leave the option out".into()),
                });
            }
        };
        let mut outer = Command::new("sh")
            .arg("-c")
            .arg(OsStr::from_bytes(&script))
            .arg("thither")
            .arg(&self.root);
        if let Program::Named(name) = &command.program {
            outer = outer.arg(name);
        }
        Ok(outer.args(command.args.iter().cloned()))
    }
}

impl Place for Beyond {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let by_thither = !self.plain && self.has_thither()?;
        let mut outer = match by_thither {
            true => self.by_thither(command),
            false => self.by_script(command)?,
        };
        outer.env = command.env.clone();
        for (name, value) in &mut outer.env {
            if name == "PATH" && value.is_some() {
                *name = PATH.into();
            }
        }
        outer.env_clear = command.env_clear && !by_thither;
        outer.streams = command.streams.clone();
        outer.cancel = command.cancel.clone();
        self.outer.spawn(&outer)
    }
}

/// The line that becomes the command in the root.
fn enter(command: &Command) -> Vec<u8> {
    let path = if has_path(command) { SET_PATH } else { "" };
    let mut line = format!("{path}exec \"$chroot\" ").into_bytes();
    if let Some(user) = &command.user {
        line.extend_from_slice(&word(format!("--userspec={user}")));
        line.push(b' ');
    }
    line.extend_from_slice(b"\"$root\" ");
    let mut inside = Vec::new();
    if let Some(dir) = &command.dir {
        inside.extend_from_slice(&[b"cd -- ", &word(dir)[..], b" || exit 125; "].concat());
    }
    match command.program {
        Program::Named(_) if inside.is_empty() => {}
        Program::Named(_) => inside.extend_from_slice(b"exec \"$@\""),
        Program::LoginShell | Program::Default => inside.extend_from_slice(LOGIN_SHELL.as_bytes()),
    }
    if !inside.is_empty() {
        line.extend_from_slice(
            &[b"sh -c ", &word(OsStr::from_bytes(&inside))[..], b" sh "].concat(),
        );
    }
    line.extend_from_slice(b"\"$@\"\n");
    line
}

/// The plan of these options; the first one that a script cannot keep.
fn plan(options: Options<'_>) -> std::result::Result<Plan, String> {
    // What is usual need not be possible everywhere.
    let mut mounts: Vec<Mount> = default_mounts().into_iter().map(Mount::optional).collect();
    let mut plan = Plan { flags: "-m -i -p -f".into(), mounts: Vec::new() };
    if options.iter().any(|(key, _)| key == "no-mounts") {
        mounts.clear();
    }
    for (key, value) in options.iter() {
        match key {
            "bind" => mounts.push(Mount::parse(value)),
            "rbind" => mounts.push(Mount::parse(value).recursive()),
            "ro-bind" => mounts.push(Mount::parse(value).recursive().read_only()),
            "tmpfs" => mounts.push(Mount::tmpfs(value)),
            "net" if value == "none" => plan.flags += " -n",
            "hostname" => {
                plan.flags += " -u";
                plan.mounts.extend_from_slice(
                    &[b"hostname ", &word(value)[..], b" || exit 125\n"].concat(),
                );
            }
            key if BEYOND_A_SCRIPT.contains(&key) => return Err(key.to_owned()),
            _ => {}
        }
    }
    for mount in &mounts {
        plan.mounts.extend_from_slice(&one_mount(mount)?);
    }
    Ok(plan)
}

impl Plan {
    /// All of it, for `sh -c`, with the root and the command's words as its arguments.
    fn script(&self, enter: &[u8]) -> Vec<u8> {
        let inner = [MOUNTS.as_bytes(), &self.mounts, enter].concat();
        let mut script = b"command -v unshare >/dev/null || {\n\
            echo 'thither: there is no unshare(1) here; the option `plain` does without' >&2\nexit 125\n}\n\
            if [ \"$(id -u)\" = 0 ]; then own=; else own=-r; fi\nexec unshare $own "
            .to_vec();
        script.extend_from_slice(self.flags.as_bytes());
        script.extend_from_slice(b" sh -c ");
        script.extend_from_slice(&word(OsStr::from_bytes(&inner)));
        script.extend_from_slice(b" thither \"$@\"\n");
        script
    }
}

fn one_mount(mount: &Mount) -> std::result::Result<Vec<u8>, String> {
    let (what, source) = match &mount.source {
        Source::Path(path) if mount.recursive => {
            ("-o rbind".to_owned(), path.as_os_str().to_owned())
        }
        Source::Path(path) => ("-o bind".to_owned(), path.as_os_str().to_owned()),
        Source::Proc => ("-t proc".to_owned(), "proc".into()),
        Source::Sysfs => ("-t sysfs".to_owned(), "sysfs".into()),
        Source::Tmpfs(None) => ("-t tmpfs".to_owned(), "tmpfs".into()),
        Source::Tmpfs(Some(_)) => return Err("tmpfs=DEST with options".into()),
        Source::Variable(_) => return Err("bind=$VARIABLE".into()),
    };
    let at = match (&mount.destination, &mount.source) {
        (Some(destination), _) => destination.as_os_str().as_bytes(),
        (None, Source::Proc) => b"/proc",
        (None, Source::Sysfs) => b"/sys",
        (None, _) => source.as_bytes(),
    };
    let at = [b"/", at.strip_prefix(b"/").unwrap_or(at)].concat();
    let (at, source) = (word(OsStr::from_bytes(&at)), word(&source));
    let mut line =
        format!("optional={}; if at ", if mount.optional { "1" } else { "" }).into_bytes();
    line.extend_from_slice(&at);
    let mount_at = |options: &str, source: &[u8]| {
        [b"on ", options.as_bytes(), b" ", source, b" \"$root\"", &at[..]].concat()
    };
    line.extend_from_slice(&[b"; then ", &mount_at(&what, &source)[..]].concat());
    if mount.read_only {
        line.extend_from_slice(&[b"; ", &mount_at("-o remount,bind,ro", b"")[..]].concat());
    }
    line.extend_from_slice(b"; fi\n");
    Ok(line)
}

/// A word for `sh` (POSIX Shell, 2.2.2).
fn word(text: impl AsRef<OsStr>) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.as_ref().as_bytes().split(|&byte| byte == b'\'').collect();
    [b"'", &parts.join(&b"'\\''"[..])[..], b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check_plan(address: &str, expected: Expect) {
        let address = crate::Address::parse(address).unwrap();
        let hop = &address.hops()[0];
        let text = match plan(Options::of(hop, crate::options::OF_CHROOT).unwrap()) {
            Ok(plan) => format!("{}\n{}", plan.flags, String::from_utf8(plan.mounts).unwrap()),
            Err(option) => format!("no {option}\n"),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn plans() {
        check_plan("chroot:/r?no-mounts", expect!["-m -i -p -f\n"]);
        check_plan(
            "chroot:/r?no-mounts&net=none&hostname=a.b&ro-bind=/a'b:/c&tmpfs=/t",
            expect![[r#"
                -m -i -p -f -n -u
                hostname 'a.b' || exit 125
                optional=; if at '/c'; then on -o rbind '/a'\''b' "$root"'/c'; on -o remount,bind,ro  "$root"'/c'; fi
                optional=; if at '/t'; then on -t tmpfs 'tmpfs' "$root"'/t'; fi
            "#]],
        );
        check_plan("chroot:/r?overlay", expect!["no overlay\n"]);
        check_plan("chroot:/r?bind=$HOME", expect!["no bind=$VARIABLE\n"]);
    }
}
