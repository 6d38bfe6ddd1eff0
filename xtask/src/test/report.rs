//! What the test run said, as counts per suite, and how they compare with the committed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::Result;
use crate::cargo::Artifact;

/// Counts of tests. A skipped one is not among the passed, although libtest has it there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

/// The counts per suite: `package/lib` (unit tests), `package/bin/name`, `package/test/name`, `package/doc`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Suites(BTreeMap<String, Counts>);

/// The committed counts per suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Minimum(BTreeMap<String, usize>);

/// A reader of the lines of `cargo test`.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By the file name of the test's executable, which has a hash in it.
    names: BTreeMap<String, String>,
    /// By the name of the crate.
    doc_names: BTreeMap<String, String>,
    suites: Suites,
    /// The suite whose lines come now.
    current: Option<String>,
    /// Whether its result has come.
    has_result: bool,
    /// Its tests of which libtest has said that they take long, and not yet their result.
    slow: BTreeSet<String>,
    skipped: Vec<String>,
    complaints: Vec<String>,
}

impl Report {
    /// Takes the names of suites from what cargo built.
    pub(super) fn new(artifacts: &[Artifact]) -> Report {
        let mut report = Report::default();
        for Artifact { package, kind, name, executable } in artifacts {
            if kind == "lib" {
                report.doc_names.insert(name.clone(), format!("{package}/doc"));
            }
            let suite = match kind.as_str() {
                "lib" => format!("{package}/lib"),
                _ => format!("{package}/{kind}/{name}"),
            };
            if let Some(file) = executable.as_ref().and_then(|path| path.file_name()) {
                report.names.insert(file.to_string_lossy().into_owned(), suite);
            }
        }
        report
    }

    /// Reads a line of `cargo test`.
    pub(super) fn line(&mut self, line: &str) {
        // `     Running unittests src/lib.rs (target/debug/deps/thither_term-0123)`
        let running = line.trim_start().strip_prefix("Running ").and_then(|rest| {
            let (_, path) = rest.strip_suffix(')')?.rsplit_once('(')?;
            self.names.get(path.rsplit_once('/')?.1).cloned()
        });
        // `   Doc-tests thither_term`
        let doc = line.trim_start().strip_prefix("Doc-tests ");
        let doc = doc.and_then(|name| self.doc_names.get(name).cloned());
        if let Some(suite) = running.or(doc) {
            self.died();
            self.suites.0.entry(suite.clone()).or_default();
            self.current = Some(suite);
            self.has_result = false;
        }
        // What a test's child wrote without a newline may stand before it.
        if let Some((_, result)) = line.split_once("test result: ") {
            self.result(result);
        }
        // `test a::b has been running for over 60 seconds`, and then perhaps `test a::b ... ok`.
        let words: Vec<&str> = line.split(' ').collect();
        if let ["test", name, "has", "been", "running", ..] = words[..] {
            self.slow.insert(name.to_owned());
        } else if let ["test", name, "...", ..] = words[..] {
            self.slow.remove(name);
        }
    }

    /// `ok. 20 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.18s`. Doc tests of several
    /// editions give several results.
    fn result(&mut self, result: &str) {
        let count = |what: &str| -> Option<usize> {
            let before = result.split_once(what)?.0;
            before.rsplit(' ').next()?.parse().ok()
        };
        let counts = (count(" passed;"), count(" failed;"), count(" ignored;"));
        let (Some(passed), Some(failed), Some(ignored)) = counts else { return };
        let Some(suite) = self.current.clone() else { return };
        self.has_result = true;
        let counts = self.suites.0.entry(suite.clone()).or_default();
        counts.passed += passed;
        counts.failed += failed;
        counts.skipped += ignored;
        if ignored > 0 {
            self.skipped.push(format!("{suite}: {ignored} ignored"));
        }
    }

    /// Reads the skips that `testkit::skip!` recorded: executable, test, reason.
    pub(super) fn skips(&mut self, text: &str) {
        for line in text.lines() {
            let mut fields = line.splitn(3, '\t');
            let file = fields.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let (test, reason) = (fields.next().unwrap_or("?"), fields.next().unwrap_or("?"));
            self.skipped.push(format!("{test}: {reason}"));
            match self.names.get(file).and_then(|suite| self.suites.0.get_mut(suite)) {
                Some(counts) => {
                    counts.passed = counts.passed.saturating_sub(1);
                    counts.skipped += 1;
                }
                None => self.complaints.push(format!("a skip in no known suite: {line:?}")),
            }
        }
    }

    /// No more lines come. What cargo counts as a failure is one, even if no test has said so.
    pub(super) fn finish(&mut self, cargo_succeeded: bool) {
        self.died();
        if !cargo_succeeded && self.suites.total().failed == 0 {
            self.complaints.push("cargo test failed outside of the tests".into());
        }
        // An executable without tests is no suite.
        self.suites.0.retain(|_, counts| *counts != Counts::default());
        if self.suites.0.is_empty() {
            self.complaints.push("no test ran".into());
        }
    }

    /// Takes note of processes that outlived the tests.
    pub(super) fn left_behind(&mut self, processes: Vec<String>) {
        let complaints = processes.into_iter().map(|it| format!("a process was left behind: {it}"));
        self.complaints.extend(complaints);
    }

    /// Takes note of something wrong with the whole run.
    pub(super) fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    fn died(&mut self) {
        if let Some(suite) = self.current.take().filter(|_| !self.has_result) {
            let slow: Vec<String> = std::mem::take(&mut self.slow).into_iter().collect();
            let hung = match slow.is_empty() {
                true => String::new(),
                false => format!("; over a minute in: {}", slow.join(", ")),
            };
            self.complaints.push(format!("{suite} ended without a result{hung}"));
            self.suites.0.entry(suite).or_default().failed += 1;
        }
    }

    pub(super) fn suites(&self) -> &Suites {
        &self.suites
    }

    /// `test: reason` of each test that was skipped.
    pub(super) fn skipped(&self) -> impl Iterator<Item = &str> {
        self.skipped.iter().map(String::as_str)
    }

    /// What is wrong, apart from tests that failed.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}

impl Suites {
    pub(super) fn total(&self) -> Counts {
        self.0.values().fold(Counts::default(), |sum, counts| Counts {
            passed: sum.passed + counts.passed,
            failed: sum.failed + counts.failed,
            skipped: sum.skipped + counts.skipped,
        })
    }

    /// The table at the end: suite, executed, skipped, minimum.
    pub(super) fn table(&self, minimum: &Minimum) -> String {
        let width = self.0.keys().map(String::len).max().unwrap_or(0);
        let mut text = format!(
            "{:width$}  {:>8}  {:>6}  {:>7}  {:>7}\n",
            "suite", "executed", "failed", "skipped", "minimum"
        );
        for (suite, &Counts { passed, failed, skipped }) in &self.0 {
            let minimum = minimum.0.get(suite).map_or("-".into(), usize::to_string);
            let executed = passed + failed;
            let _ = writeln!(
                text,
                "{suite:width$}  {executed:>8}  {failed:>6}  {skipped:>7}  {minimum:>7}"
            );
        }
        text
    }

    /// A complaint for each suite that executed fewer tests than it must, is missing, or is not known.
    pub(super) fn below(&self, minimum: &Minimum) -> Vec<String> {
        let mut complaints = Vec::new();
        for (suite, &least) in &minimum.0 {
            let executed = self.0.get(suite).map_or(0, |counts| counts.passed + counts.failed);
            if executed < least {
                complaints.push(format!("{suite} executed {executed} tests, not {least}"));
            }
        }
        for suite in self.0.keys().filter(|suite| !minimum.0.contains_key(*suite)) {
            complaints.push(format!("{suite} is not in xtask/minimum.txt (--update-minimum)"));
        }
        complaints
    }

    /// The text of `xtask/minimum.txt` that these counts give.
    pub(super) fn to_minimum(&self) -> String {
        let mut text = String::from(
            "# The least number of tests that each suite executes; written by `cargo xtask test --update-minimum`.\n",
        );
        for (suite, counts) in &self.0 {
            let _ = writeln!(text, "{suite} {}", counts.passed + counts.failed);
        }
        text
    }
}

impl Minimum {
    /// Reads lines `suite count`; lines that start with `#` are comments.
    pub(super) fn parse(text: &str) -> Result<Minimum> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entries = lines.map(|line| {
            let (suite, count) = line.split_once(' ')?;
            Some((suite.to_owned(), count.parse().ok()?))
        });
        let entries: Option<_> = entries.collect();
        Ok(Minimum(entries.ok_or("a line of xtask/minimum.txt is not `suite count`")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(package: &str, kind: &str, name: &str, executable: &str) -> Artifact {
        Artifact {
            package: package.into(),
            kind: kind.into(),
            name: name.into(),
            executable: Some(executable.into()),
        }
    }

    fn read(output: &str, skips: &str, succeeded: bool) -> Report {
        let mut report = Report::new(&[
            artifact("thither-term", "lib", "thither_term", "/t/deps/thither_term-1"),
            artifact("thither-cli", "bin", "thither", "/t/deps/thither-2"),
            artifact("thither-cli", "test", "shell", "/t/deps/shell-3"),
        ]);
        output.lines().for_each(|line| report.line(line));
        report.skips(skips);
        report.finish(succeeded);
        report
    }

    const OUTPUT: &str = "
     Running unittests src/lib.rs (target/debug/deps/thither_term-1)
running 3 tests
test a ... ok
child's words without newlinetest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s
     Running unittests src/main.rs (/t/deps/thither-2)
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/shell.rs (/t/deps/shell-3)
test result: FAILED. 5 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests thither_term
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn counts() {
        let report = read(OUTPUT, "/t/deps/shell-3\tshell::a\tno tmux\n", false);
        assert_eq!(report.complaints(), [""; 0]);
        let skipped: Vec<&str> = report.skipped().collect();
        assert_eq!(skipped, ["thither-cli/test/shell: 2 ignored", "shell::a: no tmux"]);
        assert_eq!(report.suites().total(), Counts { passed: 10, failed: 1, skipped: 3 });
        let minimum = Minimum::parse("thither-term/lib 3\n").unwrap();
        let expected = "\
suite                   executed  failed  skipped  minimum
thither-cli/test/shell         5       1        3        -
thither-term/doc               3       0        0        -
thither-term/lib               3       0        0        3
";
        assert_eq!(report.suites().table(&minimum), expected);
    }

    #[test]
    fn failures_outside_of_a_test() {
        let died = read("     Running tests/shell.rs (/t/deps/shell-3)\nSIGABRT\n", "", false);
        assert_eq!(died.complaints(), ["thither-cli/test/shell ended without a result"]);
        let slow = |test| format!("test {test} has been running for over 60 seconds\n");
        let lines = [slow("a::b"), slow("a::c"), "test a::b ... ok\n".to_owned()].concat();
        let text = format!("     Running tests/shell.rs (/t/deps/shell-3)\n{lines}");
        let hung = "thither-cli/test/shell ended without a result; over a minute in: a::c";
        assert_eq!(read(&text, "", false).complaints(), [hung]);
        assert_eq!(died.suites().total(), Counts { passed: 0, failed: 1, skipped: 0 });

        let passed = OUTPUT.replace("1 failed", "0 failed");
        assert_eq!(read(&passed, "", true).complaints(), [""; 0]);
        let outside = "cargo test failed outside of the tests";
        assert_eq!(read(&passed, "", false).complaints(), [outside]);
        assert_eq!(read("", "", true).complaints(), ["no test ran"]);
        let unknown = read(OUTPUT, "/t/other\tx\ty\n", false).complaints();
        assert_eq!(unknown, ["a skip in no known suite: \"/t/other\\tx\\ty\""]);
    }

    #[test]
    fn minimums() {
        let suites = &read(OUTPUT, "", false).suites;
        let exact = suites.to_minimum();
        let below = |text: &str| suites.below(&Minimum::parse(text).unwrap());
        assert_eq!(below(&exact), [""; 0]);
        assert_eq!(
            below(&exact.replace("term/lib 3", "term/lib 4")),
            ["thither-term/lib executed 3 tests, not 4"]
        );
        assert_eq!(below(&exact.replace("term/lib 3", "term/lib 2")), [""; 0]);
        assert_eq!(below(&format!("{exact}gone/lib 1\n")), ["gone/lib executed 0 tests, not 1"]);
        assert_eq!(
            below(&exact.replace("thither-term/lib 3\n", "")),
            ["thither-term/lib is not in xtask/minimum.txt (--update-minimum)"]
        );
        assert!(Minimum::parse("suite\n").is_err());
        assert!(Minimum::parse("suite x\n").is_err());
    }
}
