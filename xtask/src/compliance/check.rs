//! One check: a script or a terminal, and what comes of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{BusyboxRoot, DEADLINE, Marker, Session, USER, as_user, is_root};

use super::{Tool, Who};
use crate::Result;

/// A check and what is to come of it.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) name: &'static str,
    how: How,
    only: Option<Who>,
    pub(super) says: Says,
}

/// What happens.
#[derive(Clone, Copy)]
enum How {
    /// A script of sh(1), with the program `$P`, a root `$R` with busybox, and a folder `$D`, in which it starts; there
    /// and in `/tmp` of the root is a file `keep`.
    Script(&'static str),
    /// Lines and keys that are typed at the prompt of a shell with the same variables, and what the terminal shows
    /// after each. What comes of it is the shell's exit code, and a word if the terminal is not as it was.
    Typed(&'static [(&'static str, &'static str)]),
}

/// What comes of it: lines of standard output after a `|`; standard error; an exit code that is not 0; and what is
/// missing or left in the folders, mounted and running. Paths are shown as `$P`, `$R` and `$D`.
#[derive(Clone, Copy)]
pub(super) enum Says {
    Same(&'static str),
    Differ { pychroot: &'static str, thither: &'static str, why: &'static str },
}

/// It did not end, and was killed.
const HANGS: &str = "it does not end\n";
/// What begins a line about processes.
const RUNNING: &str = "left running: ";

impl Check {
    pub(super) const fn same(
        name: &'static str,
        script: &'static str,
        says: &'static str,
    ) -> Check {
        Check { name, how: How::Script(script), only: None, says: Says::Same(says) }
    }

    pub(super) const fn differ(
        name: &'static str,
        script: &'static str,
        pychroot: &'static str,
        thither: &'static str,
        why: &'static str,
    ) -> Check {
        let says = Says::Differ { pychroot, thither, why };
        Check { name, how: How::Script(script), only: None, says }
    }

    pub(super) const fn typed(
        name: &'static str,
        steps: &'static [(&'static str, &'static str)],
        says: &'static str,
    ) -> Check {
        Check { name, how: How::Typed(steps), only: None, says: Says::Same(says) }
    }

    /// For root alone.
    pub(super) const fn as_root(self) -> Check {
        Check { only: Some(Who::Root), ..self }
    }

    /// For an ordinary user alone.
    pub(super) const fn as_user(self) -> Check {
        Check { only: Some(Who::User), ..self }
    }

    pub(super) fn is_for(&self, who: Who) -> bool {
        self.only.is_none_or(|only| only == who)
    }

    pub(super) fn expected(&self, tool: Tool) -> &'static str {
        match (self.says, tool) {
            (Says::Same(text), _) => text,
            (Says::Differ { pychroot, .. }, Tool::Pychroot) => pychroot,
            (Says::Differ { thither, .. }, Tool::Thither) => thither,
        }
    }

    /// Runs it, and says what comes of it.
    pub(super) fn run(&self, tool: Tool, path: &Path, who: Who) -> Result<String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.name);
        let root = BusyboxRoot::new()?;
        let folder = TempDir::with_prefix("compliance-").map_err(failed)?;
        // pychroot removes folders that are empty after it, whoever made them: that is for the checks of it to show.
        for folder in [folder.path(), &root.path().join("tmp")] {
            fs::write(folder.join("keep"), "").map_err(failed)?;
        }
        // The root is a user's own, as it would be.
        let owned = [root.path(), folder.path()];
        if who == Who::User && is_root() {
            let owner = format!("{USER}:{USER}");
            let chown = Command::new("chown").args(["-R", &owner]).args(owned).status();
            chown.map_err(failed)?.success().then_some(()).ok_or("chown(1) fails")?;
        }
        let marker = Marker::new();
        let arrange = |command: &mut Command| {
            command.env_clear().current_dir(folder.path()).stdin(Stdio::null());
            command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
            command.env("P", path).env("R", root.path()).env("D", folder.path());
            marker.mark(command);
            if who == Who::User {
                as_user(command);
            }
            command.env("HOME", folder.path());
        };
        let before = owned.map(tree);
        let expected = self.expected(tool);
        let mut text = match self.how {
            How::Script(script) => run_script(script, arrange, expected.contains(HANGS), &marker)?,
            How::Typed(steps) => type_steps(steps, arrange),
        };
        // Who is to be found running would be waited for in vain.
        let patience =
            if expected.contains(RUNNING) { Duration::from_millis(500) } else { DEADLINE };
        let running: BTreeSet<String> =
            marker.survivors(patience).iter().map(|process| short(process, path)).collect();
        if !running.is_empty() {
            text += &format!("{RUNNING}{}\n", Vec::from_iter(running).join(", "));
        }
        for mount in testkit::mounts() {
            let point = mount.split(' ').nth(4).unwrap_or_default();
            if owned.iter().any(|path| Path::new(point).starts_with(path)) {
                text += &format!("left mounted: {point}\n");
            }
        }
        for (path, before) in owned.iter().zip(before) {
            let after = tree(path);
            for lost in before.difference(&after) {
                text += &format!("lost: {}\n", lost.display());
            }
            for left in after.difference(&before) {
                text += &format!("left: {}\n", left.display());
            }
        }
        let shown = [(path, "$P"), (root.path(), "$R"), (folder.path(), "$D")];
        Ok(shown.iter().fold(text, |text, (path, name)| {
            text.replace(path.to_str().expect("a plain path"), name)
        }))
    }
}

/// Everything in a folder, and the folder.
fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(path) = todo.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            todo.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
        found.insert(path);
    }
    found
}

/// The name of a process that was left; `line` is its id and its command line.
fn short(line: &str, tool: &Path) -> String {
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let tool = tool.to_str().unwrap_or_default();
    match words.iter().take(2).any(|word| *word == tool) {
        true => "$P".into(),
        false => words.join(" "),
    }
}

fn run_script(
    script: &str,
    arrange: impl FnOnce(&mut Command),
    hangs: bool,
    marker: &Marker,
) -> Result<String> {
    let failed = |error: std::io::Error| format!("cannot run a script: {error}");
    // Files: what is left running would keep pipes open.
    let logs = TempDir::new().map_err(failed)?;
    let [out, err] = ["out", "err"].map(|name| logs.path().join(name));
    let mut sh = Command::new("sh");
    sh.args(["-c", script]);
    arrange(&mut sh);
    sh.stdout(File::create(&out).map_err(failed)?).stderr(File::create(&err).map_err(failed)?);
    let patience = if hangs { Duration::from_secs(5) } else { DEADLINE };
    let status = wait(sh.spawn().map_err(failed)?, patience, marker);
    let read = |path: &Path| {
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed)
    };
    let mut text: String = read(&out)?.lines().map(|line| format!("| {line}\n")).collect();
    text += &read(&err)?;
    match status {
        Some(status) if status.success() => {}
        Some(status) => match status.code() {
            Some(code) => text += &format!("exit {code}\n"),
            None => text += &format!("signal {}\n", status.signal().unwrap_or_default()),
        },
        None => text += HANGS,
    }
    Ok(text)
}

/// The status of a script, or `None` if it had to be killed.
pub(super) fn wait(mut child: Child, patience: Duration, marker: &Marker) -> Option<ExitStatus> {
    let (sender, receiver) = channel();
    let waiter = thread::spawn(move || sender.send(child.wait()));
    let ended = receiver.recv_timeout(patience).ok().and_then(|status| status.ok());
    if ended.is_none() {
        let _ = marker.survivors(Duration::ZERO);
    }
    let _ = waiter.join();
    ended
}

fn type_steps(steps: &[(&str, &str)], arrange: impl FnOnce(&mut Command)) -> String {
    let mut session = Session::shell((80, 24), |command| {
        let (ps1, term) = (testkit::PROMPT, "xterm");
        arrange(command);
        command.env("PS1", ps1).env("TERM", term);
    });
    let before = session.modes();
    let typed = catch_unwind(AssertUnwindSafe(|| {
        for (keys, shown) in steps {
            session.send(keys);
            session.expect(shown);
        }
        session.modes() == before
    }));
    let mut text = match typed {
        Ok(true) => String::new(),
        Ok(false) => "the terminal is not as it was\n".into(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default() + "\n",
    };
    if text.is_empty() {
        session.line("exit $?");
        text = match session.wait().code() {
            Some(0) => text,
            Some(code) => format!("exit {code}\n"),
            None => "killed\n".into(),
        };
    }
    text
}
