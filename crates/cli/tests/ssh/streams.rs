//! What goes in and out by the tool's own streams.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use crate::tool::{code, failure, host, prints, says, says_to};

#[test]
fn codes_and_streams() {
    let host = host!("bash");
    assert_eq!(
        says(&mut host.run(&["sh", "-c", "echo out; echo err >&2; exit 3"])),
        ("out\n".into(), "err\n".into(), 3)
    );
    assert_eq!(says(&mut host.run(&["sh", "-c", "exit 255"])), (String::new(), String::new(), 255));
    assert_eq!(
        says(&mut host.run(&["sh", "-c", "kill -9 $$"])),
        (String::new(), String::new(), 137)
    );
    assert_eq!(says(&mut host.run(&["no-such-program"])).2, 127);
    assert_eq!(says(&mut host.run(&["/etc"])).2, 126);
    let (_, err, code) =
        says(&mut host.thither(["run", "--dir", "/no/such", &host.place(), "true"]));
    assert_eq!(code, 125, "{err}");
}

#[test]
fn an_input_is_passed_on_or_not() {
    let host = host!("sh");
    assert_eq!(says_to(&mut host.run(&["cat"]), b"a\0b\nc"), ("a\0b\nc".into(), String::new(), 0));
    let place = host.place();
    assert_eq!(
        says_to(&mut host.thither(["run", "-n", &place, "cat"]), b"not read"),
        Default::default()
    );
    let mut file = host.run(&["cat"]);
    file.stdin(File::open("/etc/passwd").unwrap());
    assert_eq!(prints(&mut file), std::fs::read_to_string("/etc/passwd").unwrap());
    let words =
        ["--env", "A=it's\nhere", "--env", "B=", &place, "sh", "-c", "echo \"<$A|$B>\"; cat"];
    let mut with = host.thither([&["run"], &words[..]].concat());
    assert_eq!(says_to(&mut with, b"x"), ("<it's\nhere|>\nx".into(), String::new(), 0));
}

#[test]
fn an_output_that_nobody_reads() {
    let host = host!("bash");
    // As `| head -1`: the program over there gets a SIGPIPE, as a local one would.
    let mut child = host.run(&["yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 2]).unwrap();
    drop(stdout);
    assert_eq!(code(child), Some(141));
}

#[test]
fn a_full_disk() {
    let host = host!("bash");
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for program in [&["echo", "all is well"][..], &["cat", "/proc/self/maps"], &["yes"]] {
        let child = host.run(program).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let output = crate::common::finish(child, std::process::Child::wait_with_output);
        let said = (
            String::new(),
            String::from_utf8(output.stderr).unwrap(),
            output.status.code().unwrap(),
        );
        let expected = format!(
            "error: cannot write the output of the command in `{}`: no space left on device\n",
            host.place()
        );
        assert_eq!(failure(said), expected, "{program:?}");
    }
}

#[test]
fn closed_streams() {
    let host = host!("sh");
    let place = host.place();
    for (close, expected) in [("<&-", "out\n"), (">&-", ""), ("2>&-", "out\n")] {
        let script =
            format!("\"$T\" run \"$P\" sh -c 'cat; echo out; echo err >&2; exit 4' {close}");
        let mut sh = std::process::Command::new("sh");
        sh.args(["-c", &script])
            .env("T", crate::tool::THITHER)
            .env("P", &place)
            .stdin(Stdio::null());
        let (out, _, code) = says(&mut sh);
        assert_eq!((out.as_str(), code), (expected, 4), "{close}");
    }
}

#[test]
fn files_are_appended_to() {
    let host = host!("sh");
    let path = host.folder().join("out");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"before\n").unwrap();
    let append = || File::options().append(true).open(&path).unwrap();
    let mut command = host.run(&["sh", "-c", "echo one; echo two >&2"]);
    assert_eq!(code(command.stdout(append()).stderr(append()).spawn().unwrap()), Some(0));
    let mut text: Vec<String> =
        std::fs::read_to_string(&path).unwrap().lines().map(String::from).collect();
    text.sort();
    assert_eq!(text, ["before", "one", "two"]);
}

#[test]
fn a_shell_reads_what_to_do() {
    let host = host!("bash");
    let place = host.place();
    let (out, _, code) = says_to(&mut host.thither(["shell", &place]), b"echo $0; exit 6\n");
    assert_eq!((out.as_str(), code), ("-bash\n", 6));
}

#[test]
fn variables_that_ssh_config_sends() {
    let host = host!("sh");
    // Only those that the host accepts, and that the user's configuration names.
    host.configure("SendEnv LC_A* THITHER_SENT");
    let words = ["sh", "-c", "echo \"$LC_A_NAME|$LC_OTHER|$THITHER_SENT\""];
    let mut command = host.run(&words);
    command.env("LC_A_NAME", "it's\nsent").env("LC_OTHER", "x").env("THITHER_SENT", "y");
    // More than a master takes.
    command.env("LC_A_LONG", "z".repeat(100_000));
    assert_eq!(says(&mut command), ("it's\nsent||\n".into(), String::new(), 0));
}
