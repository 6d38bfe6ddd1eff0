//! Commands of Windows.

use std::fs;
use std::process::{Child, Stdio};

use testkit::{DEADLINE, wait_until};

use crate::common::{finish, first_byte};
use crate::host::host;

#[test]
fn streams_and_codes() {
    host!(host);
    host.check(&["cmd", "/c", "echo", "%OS%"], 0, "Windows_NT\r\n", "");
    host.check(&["cmd", "/c", "echo one& echo two>&2& exit 7"], 7, "one\r\n", "two\r\n");
    // To the end of the input, and byte for byte.
    let code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])";
    let turned = host.says("run", &["--", "python", "-c", code], b"a\r\nb\n");
    assert_eq!(turned, (0, "\nb\n\ra".into(), String::new()));
}

/// What the other side makes of arguments: as the C library there takes its command line apart.
#[test]
fn arguments() {
    host!(host);
    let tricky = [
        "a b",
        "say \"hi\"",
        "C:\\folder\\",
        "C:\\my folder\\",
        "",
        "\u{fc}\u{4e2d}\u{1f600}",
        "%OS%",
        "a^b&c|d",
    ];
    let code = "import sys; sys.stdout.buffer.write(ascii(sys.argv[1:]).encode())";
    let args = [&["--", "python", "-c", code], &tricky[..]].concat();
    let (status, stdout, stderr) = host.says("run", &args, b"");
    let expected = r#"['a b', 'say "hi"', 'C:\\folder\\', 'C:\\my folder\\', '', '\xfc\u4e2d\U0001f600', '%OS%', 'a^b&c|d']"#;
    assert_eq!((status, &*stdout, &*stderr), (0, expected, ""));
}

#[test]
fn a_missing_program() {
    host!(host);
    let (code, stdout, stderr) = host.says("run", &["--", "no-such-program"], b"");
    assert_eq!((code, &*stdout), (127, ""), "{stderr}");
    assert!(stderr.starts_with("error: cannot run `no-such-program` in `smb:"), "{stderr}");
}

#[test]
fn a_cut_connection() {
    host!(host);
    // Not in the command line of any other process.
    let unique = host.test.dir().file_name().expect("a name").to_str().expect("text");
    let code = "import time; print('x', flush=True); time.sleep(1000)";
    let mut command = host.thither("run", &["--", "python", "-c", code, unique]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    assert_eq!(first_byte(child.stdout.take().expect("a pipe")), b'x');
    assert!(is_running(unique));
    host.service.cut();
    let output = finish(child, Child::wait_with_output);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    wait_until(DEADLINE, "the end of the job", || !is_running(unique));
    // The service goes on.
    host.check(&["cmd", "/c", "echo", "%OS%"], 0, "Windows_NT\r\n", "");
}

/// Whether there is a program of Wine's with this last argument.
fn is_running(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("proc(5)").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .any(|line| line.contains("python.exe") && line.trim_end_matches('\0').ends_with(argument))
}
