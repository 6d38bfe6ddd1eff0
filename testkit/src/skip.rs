//! Skips, said aloud and counted.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// Ends a test that cannot run here, aloud: `skip!("tmux is not installed")`, with arguments as `format!` takes.
///
/// It stands in the test's own body, since it returns from there; its type is `!`:
///
/// ```
/// # fn test() {
/// let root = match testkit::BusyboxRoot::new() {
///     Ok(root) => root,
///     Err(reason) => testkit::skip!("{reason}"),
/// };
/// # assert!(root.path().is_dir());
/// # }
/// # test();
/// ```
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        // The type's name holds the path of the function around it, also where libtest gives the thread none.
        struct Here;
        $crate::record_skip(::std::any::type_name::<Here>(), &::std::format!($($reason)+));
        return;
    }};
}

/// The work of [`skip!`]: says `skipped: TEST: REASON` on descriptor 2, around libtest's capture, and adds a line
/// `EXECUTABLE<tab>TEST<tab>REASON` to the file that the variable `THITHER_SKIPS` names, for `cargo xtask test`.
///
/// # Panics
/// When that file cannot be written: a skip must not be lost.
pub fn record_skip(here: &str, reason: &str) {
    let test = here.trim_end_matches("::Here").trim_end_matches("::{{closure}}");
    let reason = reason.replace(['\n', '\t'], " ");
    // One write each, so that lines of tests at the same time stay whole.
    let _ = rustix::io::write(
        rustix::stdio::stderr(),
        format!("skipped: {test}: {reason}\n").as_bytes(),
    );
    let Some(path) = std::env::var_os("THITHER_SKIPS") else { return };
    let executable = std::env::current_exe().unwrap_or_default();
    let mut line = executable.as_os_str().as_bytes().to_vec();
    line.extend(format!("\t{test}\t{reason}\n").as_bytes());
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(&line))
        .unwrap_or_else(|error| panic!("cannot record the skip of {test} in {path:?}: {error}"));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Run by the test below in a process of its own; otherwise it has nothing to skip.
    #[test]
    fn one_that_may_skip() {
        if std::env::var_os("TESTKIT_SKIP_NOW").is_some() {
            crate::skip!("no {} here", "moon");
        }
        assert!(std::env::var_os("TESTKIT_MUST_SKIP").is_none());
    }

    #[test]
    fn a_skip_is_said_and_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skips");
        let myself = std::env::current_exe().unwrap();
        let output = Command::new(&myself)
            .args(["--exact", "skip::tests::one_that_may_skip"])
            .envs([("TESTKIT_SKIP_NOW", "1"), ("TESTKIT_MUST_SKIP", "1")])
            .env("THITHER_SKIPS", &file)
            .output()
            .unwrap();
        let name = "testkit::skip::tests::one_that_may_skip";
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, format!("skipped: {name}: no moon here\n"));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        let recorded = std::fs::read_to_string(&file).unwrap();
        assert_eq!(recorded, format!("{}\t{name}\tno moon here\n", myself.display()));
    }
}
