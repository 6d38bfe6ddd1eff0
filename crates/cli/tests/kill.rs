//! SIGKILL at every step of a run: what it leaves, the next run sweeps.
//!
//! strace(1) injects the signal as a system call is entered, before it has done anything. Each run of a sweep is killed
//! at another call: at the nth of each name, for every name and n that a run comes to, in the tool itself and in
//! pid 1 inside, whichever comes there first. Between two calls nothing changes that could be left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use testkit::{
    BusyboxRoot, DEADLINE, Marker, PublicCopy, Who, find_program, own_records, skip, wait_until,
    within_deadline,
};

const MOUNT_POINTS: [&str; 4] = ["proc", "sys", "dev", "etc/resolv.conf"];

/// A root without mount points, another one with them, and the program.
struct Tested {
    program: PublicCopy,
    root: BusyboxRoot,
    other: BusyboxRoot,
    before: Vec<PathBuf>,
    log: tempfile::NamedTempFile,
}

impl Tested {
    fn new() -> Result<Tested, String> {
        let root = BusyboxRoot::new()?.without(&MOUNT_POINTS);
        let program = PublicCopy::of(env!("CARGO_BIN_EXE_thither")).expect("a copy of the program");
        let before = listing(root.path());
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        Ok(Tested { program, other: BusyboxRoot::new()?, root, before, log })
    }

    /// A run of `true` in a root, under strace with these options if there are any.
    fn run(&self, root: &BusyboxRoot, strace: &[&str], marker: &Marker) -> Output {
        let mut command = self.command(root, strace, marker);
        within_deadline("a run", move || command.output()).expect("strace or the program")
    }

    fn command(&self, root: &BusyboxRoot, strace: &[&str], marker: &Marker) -> Command {
        let mut command = match strace {
            [] => Command::new(self.program.path()),
            options => {
                let mut command = Command::new("strace");
                command.args(["-f", "-qq", "-o"]).arg(self.log.path()).args(options);
                command.arg(self.program.path());
                command
            }
        };
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").expect("a folder of our own");
        command.arg("run").arg(format!("chroot:{}", root.path().display())).arg("true");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("XDG_RUNTIME_DIR", runtime);
        marker.mark(&mut command).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Nothing is left but what was there, once another run has swept.
    #[track_caller]
    fn check_swept(&self, by: &BusyboxRoot, what: &str) {
        let output = self.run(by, &[], &Marker::new());
        assert!(output.status.success(), "the run after {what}: {output:?}");
        let after = listing(self.root.path());
        assert_eq!(after, self.before, "after {what}");
        let records = self.records();
        assert!(records.is_empty(), "after {what}: {records:?}");
    }

    fn records(&self) -> Vec<PathBuf> {
        let folder = match testkit::is_root() {
            true => PathBuf::from("/run/thither"),
            false => Path::new(&std::env::var_os("XDG_RUNTIME_DIR").unwrap()).join("thither"),
        };
        if folder.exists() { listing(&folder) } else { Vec::new() }
    }

    /// What strace said of the last run.
    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).expect("strace's log")
    }

    /// How often a run comes to each system call, at most in one of its processes.
    fn calls(&self) -> BTreeMap<String, usize> {
        let output = self.run(&self.root, &["-e", "trace=all"], &Marker::new());
        assert!(output.status.success(), "{output:?}");
        let log = self.log();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in log.lines() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            // The rest are ends of processes, signals, and the second halves of calls.
            let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                *counts.entry((pid, name)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((_, name), count) in counts {
            let entry = most.entry(name.to_owned()).or_default();
            *entry = count.max(*entry);
        }
        most
    }
}

/// Every path below a folder, in order.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Makes a [`Tested`] for a user, or skips the test.
macro_rules! tested {
    ($who:expr) => {{
        if let Err(reason) = find_program("strace") {
            skip!("{reason}");
        }
        own_records!($who);
        if $who == Who::User && testkit::is_root() {
            skip!("root in a place without other users");
        }
        let tested = match Tested::new() {
            Ok(tested) => tested,
            Err(reason) => skip!("{reason}"),
        };
        let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
        if !traced.as_ref().is_ok_and(|output| output.status.success()) {
            skip!("strace cannot trace here: {traced:?}");
        }
        tested
    }};
}

#[track_caller]
fn check_every_step(tested: &Tested) {
    let (mut runs, mut missed, mut left) = (0, 0, 0);
    for (name, most) in tested.calls() {
        for n in 1..=most {
            let what = format!("a SIGKILL at {name} number {n}");
            let inject = format!("inject={name}:signal=KILL:when={n}");
            let marker = Marker::new();
            let output =
                tested.run(&tested.root, &["-e", &format!("trace={name}"), "-e", &inject], &marker);
            marker.assert_gone();
            let log = tested.log();
            runs += 1;
            missed += usize::from(!log.contains("killed by SIGKILL") && output.status.success());
            left += usize::from(listing(tested.root.path()) != tested.before);
            assert!(testkit::mounts().iter().all(|line| !line.contains("thither-root")), "{what}");
            // Its own next run, or that of another root.
            let by = if n % 2 == 0 { &tested.root } else { &tested.other };
            tested.check_swept(by, &what);
        }
    }
    // Runs differ by a call or two. And this test would see nothing if there were nothing to sweep.
    assert!(runs > 100 && left > 20, "{runs} runs, {left} left something");
    assert!(missed * 20 < runs, "{missed} of {runs} runs did not come to their call");
}

#[test]
fn every_step() {
    let tested = tested!(Who::Same);
    check_every_step(&tested);
}

#[test]
fn every_step_of_a_user() {
    let tested = tested!(Who::User);
    check_every_step(&tested);
}

#[test]
fn a_file_system_that_cannot_rename_without_replacing() {
    let tested = tested!(Who::User);
    // A file gets its name by a link, and where there are none it is made at once.
    let linked = "\"resolv.conf\", 0) = 0";
    let made = "\"resolv.conf\", O_WRONLY|O_CREAT|O_EXCL";
    for (inject, sign) in [("trace=all", linked), ("inject=linkat:error=EPERM", made)] {
        let options = ["-e", "inject=renameat2:error=EINVAL", "-e", "trace=all", "-e", inject];
        let output = tested.run(&tested.root, &options, &Marker::new());
        assert!(output.status.success(), "{output:?}");
        let log = tested.log();
        assert_eq!(log.matches("EINVAL (Invalid argument) (INJECTED)").count(), 4, "{log}");
        assert!(log.contains(sign), "{sign}: {log}");
        assert_eq!(listing(tested.root.path()), tested.before);
        assert!(tested.records().is_empty());
    }
}

/// What strace runs, killed at the end, also of a test that fails: what is stopped does not end by itself.
struct Stopped {
    marker: Marker,
    strace: Child,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let strace = self.strace.id();
        for pid in self.marker.processes().into_iter().filter(|&pid| pid != strace) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        // It ends once they have ended, and let go of their locks.
        let _ = self.strace.wait();
    }
}

/// Nobody waits without end for one that is stopped while it removes its mount points.
#[test]
fn a_stop_while_mount_points_are_removed() {
    let tested = tested!(Who::User);
    let marker = Marker::new();
    let options = ["-e", "trace=unlinkat", "-e", "inject=unlinkat:signal=STOP:when=1"];
    let strace = tested.command(&tested.root, &options, &marker).spawn().expect("strace");
    let stopped = Stopped { marker, strace };
    wait_until(DEADLINE, "a stop", || tested.log().contains("--- stopped by SIGSTOP ---"));
    let other = tested.run(&tested.other, &[], &Marker::new());
    assert!(other.status.success(), "{other:?}");
    let here = tested.run(&tested.root, &[], &Marker::new());
    let said = String::from_utf8_lossy(&here.stderr);
    assert!(said.contains("somebody has been removing mount points"), "{here:?}");
    assert_ne!(listing(tested.root.path()), tested.before, "it was stopped too late");
    drop(stopped);
    tested.check_swept(&tested.other, "a stop");
}
