//! The examples do what they say, and so does the code in what documents them.

#[path = "../examples/python.rs"]
#[allow(dead_code, reason = "its main function is that of a program")]
mod python;
#[path = "../examples/python_files.rs"]
#[allow(dead_code, reason = "its main function is that of a program")]
mod python_files;
#[path = "../examples/python_many.rs"]
#[allow(dead_code, reason = "its main function is that of a program")]
mod python_many;
#[path = "examples/documents.rs"]
mod documents;
#[path = "examples/from_pushy.rs"]
mod from_pushy;

use expect_test::{Expect, expect};
use testkit::{find_program, within_deadline};

/// Where each example runs.
const PLACES: [&str; 2] = ["local:", "chroot:/"];

/// Skips a test where there is no Python.
macro_rules! needs_python {
    () => {
        if let Err(reason) = testkit::find_program("python3") {
            testkit::skip!("{reason}");
        }
    };
}
pub(crate) use needs_python;

/// What an example says at each place, with the place's name replaced.
#[track_caller]
fn check<E: std::fmt::Display>(
    example: impl Fn(&'static str, &mut Vec<u8>) -> Result<(), E> + Copy + Send + 'static,
    expected: Expect,
) {
    for place in PLACES {
        let said = within_deadline(place, move || {
            let mut said = Vec::new();
            example(place, &mut said).unwrap_or_else(|error| panic!("{place}: {error}"));
            String::from_utf8(said).expect("text")
        });
        expected.assert_eq(&said.replace(place, "PLACE"));
    }
}

#[test]
fn first_five_minutes() {
    needs_python!();
    let example = |place: &'static str, out: &mut Vec<u8>| {
        let mut said = Vec::new();
        python::show(place, &mut said)?;
        let said = String::from_utf8(said)?;
        let (first, rest) = said.split_once('\n').ok_or("a line")?;
        // The version and the process are not always the same.
        let version =
            first.strip_prefix("Python 3.").and_then(|rest| rest.split_once(" (linux) at "));
        let process = version.and_then(|(_, rest)| rest.split_once(", process "));
        let (named, pid) = process.ok_or_else(|| first.to_owned())?;
        pid.parse::<u32>()?;
        out.extend(format!("Python at {named}\n{rest}").into_bytes());
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    check(
        example,
        expect![[r#"
            Python at PLACE
            /srv/app
            3, place
            [1, 2, 3] of 3 items, [1, 2, 3]
            [2, 4, 6]
            FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'
        "#]],
    );
}

#[test]
fn many_places() {
    needs_python!();
    let said = within_deadline("primes", || {
        let mut said = Vec::new();
        python_many::show(&["local:", "daemon:/nowhere.sock", "chroot:/", "local:"], &mut said)
            .unwrap();
        String::from_utf8(said).unwrap()
    });
    expect![[r#"
        daemon:/nowhere.sock: cannot enter `daemon:/nowhere.sock`
        2262 primes, counted at 3 of 4 places
    "#]]
    .assert_eq(&said);
}

#[test]
fn files() {
    needs_python!();
    if let Err(reason) = find_program("gzip") {
        testkit::skip!("{reason}");
    }
    check(
        |place, out| {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("n\u{fc}mbers");
            let content: String = (0..300_000).map(|number| format!("{number}\n")).collect();
            std::fs::write(&file, &content)?;
            let mut said = Vec::new();
            let compressed = python_files::show(&file, place, &mut said)?;
            assert_eq!(compressed, folder.path().join("n\u{fc}mbers.gz"));
            // Another program is the judge.
            let output = std::process::Command::new("gzip").arg("-dc").arg(&compressed).output()?;
            assert!(output.status.success() && output.stdout == content.as_bytes(), "{output:?}");
            let left = std::fs::read_dir(folder.path())?.count();
            let said = String::from_utf8(said)?;
            let said = said.replace(folder.path().to_str().ok_or("a folder")?, "FOLDER");
            out.extend(format!("{said}{left} files\n").into_bytes());
            Ok::<(), Box<dyn std::error::Error>>(())
        },
        expect![[r#"
            FOLDER/nümbers.gz in 3 parts
            2 files
        "#]],
    );
}
