//! Tests in a process of their own.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use crate::{DEADLINE, wait_until};

const ALONE: &str = "THITHER_ALONE";

/// Runs the test that it stands in again, in a process of its own, where no other test runs: for what a whole
/// process shares, such as its descriptors, its children and its user.
///
/// The argument makes the command from a path of the test's executable that is right for this process and its
/// children until they execute something, so not for a shell in between.
///
/// ```no_run
/// # use std::process::Command;
/// fn a_test() {
///     testkit::own_process!(|program| {
///         let mut command = Command::new(program);
///         testkit::as_user(&mut command);
///         command
///     });
///     // From here on as that user, and alone.
/// }
/// ```
#[macro_export]
macro_rules! own_process {
    ($command:expr) => {{
        // As in `skip!`.
        struct Here;
        if $crate::rerun(::std::any::type_name::<Here>(), $command) {
            return;
        }
    }};
}

/// The work of [`own_process!`]. Says whether the test was run, by another process; `false` is for that other one.
///
/// # Panics
/// When the test failed there, with what it printed.
#[track_caller]
pub fn rerun(here: &str, command: impl FnOnce(&Path) -> Command) -> bool {
    let path = here.trim_end_matches("::Here").trim_end_matches("::{{closure}}");
    let test = path.split_once("::").map_or(path, |(_crate, test)| test);
    if env::var_os(ALONE).is_some_and(|name| name == test) {
        return false;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let file = File::create(&log).expect("a temporary file");
    // Also for a user who cannot reach the folder of the build: proc's link leads there without the path.
    let mut command = command(Path::new("/proc/self/exe"));
    command.args(["--exact", test, "--nocapture"]).env(ALONE, test).current_dir("/");
    command.stdin(std::process::Stdio::null());
    command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(DEADLINE * 20, test, || child.try_wait().expect("our child").is_some());
    }));
    if waited.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().expect("our child");
    let said = said();
    assert!(
        status.success() && said.contains("1 passed"),
        "in a process of its own: {status}\n{said}"
    );
    true
}

/// Does something in a thread of its own, and gives up on it at the [`DEADLINE`]: for calls that wait without one.
///
/// # Panics
/// At the deadline, with `what` was waited for, and when `work` panics.
#[track_caller]
pub fn within_deadline<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = channel();
    let thread = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(DEADLINE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("waited {DEADLINE:?} in vain: {what}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("it sends before it ends"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_runs_again_in_another_process() {
        let before = std::process::id();
        own_process!(|program| {
            let mut command = Command::new(program);
            command.env("TESTKIT_OUTER", before.to_string());
            command
        });
        let outer = env::var("TESTKIT_OUTER").unwrap();
        assert_ne!(outer, std::process::id().to_string());
        assert_eq!(outer, std::os::unix::process::parent_id().to_string());
    }

    #[test]
    fn its_failure_is_ours() {
        let outer = env::var_os(ALONE).is_none();
        if outer {
            let panic = std::panic::catch_unwind(|| {
                rerun("testkit::alone::tests::its_failure_is_ours::Here", |program| {
                    Command::new(program)
                })
            });
            let said = panic.unwrap_err().downcast::<String>().unwrap();
            assert!(said.contains("the inner one fails"), "{said}");
        } else {
            panic!("the inner one fails");
        }
    }

    #[test]
    fn a_result_and_a_panic_come_back() {
        assert_eq!(within_deadline("a sum", || 1 + 1), 2);
        let panic = std::panic::catch_unwind(|| within_deadline("nothing", || panic!("inside")));
        assert_eq!(*panic.unwrap_err().downcast_ref::<&str>().unwrap(), "inside");
    }
}
