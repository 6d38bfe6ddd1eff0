//! What a command in a container is, and how it ends.

use expect_test::{Expect, expect};
use testkit::DEADLINE;
use thither_docker::Container;
use thither_place::{Command, Exit, Place};

use crate::common::{error, handle, null, output, says, sh, shared, there, told};

#[test]
fn output_errors_and_codes_are_kept_apart() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for code in [0, 1, 7, 125, 126, 127, 128, 137, 255] {
        let found = output(&place, &sh(&format!("echo out; echo err >&2; exit {code}")));
        assert_eq!(found.exit, Exit::Code(code));
        assert_eq!((&*found.stdout, &*found.stderr), (&b"out\n"[..], &b"err\n"[..]));
    }
    let killed = output(&place, &sh("kill -9 $$"));
    assert_eq!(killed.exit, Exit::Code(137));
}

#[test]
fn nothing_is_inherited_and_the_code_still_comes() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let exit = crate::common::wait(place.spawn(&null(sh("read -r x || exit 5"))).unwrap());
    assert_eq!(exit.unwrap(), Exit::Code(5));
}

#[test]
fn a_program_that_closes_its_streams_is_waited_for() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let _ = sleeper.exec(&["mkfifo", "/go"]);
    let place = there(engine, &sleeper);
    for command in [crate::common::piped(sh("")), null(sh(""))] {
        let script = "exec <&- >&- 2>&-; read -r x < /go; exit 9";
        let mut process = place
            .spawn(&Command { args: ["-c", script].map(Into::into).into(), ..command })
            .unwrap();
        drop(process.stdin.take());
        let stdout = process.stdout.take();
        assert!(process.control.event().unwrap().is_none());
        drop(stdout);
        let writer = says(&place, &sh("echo go > /go"));
        assert_eq!(writer, "");
        assert_eq!(crate::common::wait(process).unwrap(), Exit::Code(9));
    }
}

#[test]
fn a_job_in_the_background_does_not_keep_us() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let found = output(&there(engine, &sleeper), &sh("sleep inf & echo done; exit 3"));
    assert_eq!((found.exit, &*found.stdout), (Exit::Code(3), &b"done\n"[..]));
}

#[track_caller]
fn check_error(place: &Container, command: Command, expected: Expect) {
    let command = crate::common::null(command);
    expected.assert_eq(&told(&error(place, &command)));
}

#[test]
fn programs_that_cannot_be_run() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).name("tests-bad").start();
    let _ = sleeper.exec(&["sh", "-c", "echo x > /plain"]);
    let place = there(engine, &sleeper);
    check_error(
        &place,
        Command::new("no-such"),
        expect![
            "cannot run `no-such` in `docker:tests-bad`: No such file or directory (os error 2); exit code 127"
        ],
    );
    check_error(
        &place,
        Command::new("/no/such"),
        expect![
            "cannot run `/no/such` in `docker:tests-bad`: No such file or directory (os error 2); exit code 127"
        ],
    );
    check_error(
        &place,
        Command::new("/plain"),
        expect![
            "cannot run `/plain` in `docker:tests-bad`: Permission denied (os error 13); exit code 126"
        ],
    );
    check_error(
        &place,
        Command::new("/etc"),
        expect![
            "cannot run `/etc` in `docker:tests-bad`: Permission denied (os error 13); exit code 126"
        ],
    );
    check_error(
        &place,
        Command::new("true").dir("/no-such-dir"),
        expect![[
            r#"cannot start the command in `docker:tests-bad`: the engine says: exec failed: unable to start container process: chdir to cwd ("/no-such-dir") set in config.json failed: no such file or directory; exit code 125; hint: name a directory that is there"#
        ]],
    );
    check_error(
        &place,
        Command::new("true").dir("relative"),
        expect![
            "cannot start the command in `docker:tests-bad`: the engine says: exec failed: Cwd must be an absolute path; exit code 125"
        ],
    );
    check_error(
        &place,
        Command::new("true").user("nobody-here"),
        expect![
            "cannot start the command in `docker:tests-bad`: the engine says: unable to find user nobody-here: no matching entries in passwd file; exit code 125"
        ],
    );
    check_error(
        &place,
        Command::new(""),
        expect![
            "cannot run `` in `docker:tests-bad`: No such file or directory (os error 2); exit code 127"
        ],
    );
    check_error(
        &place,
        Command::new("a\0b"),
        expect![[
            r#"cannot run `a\u{0}b` in `docker:tests-bad`: No such file or directory (os error 2); exit code 127"#
        ]],
    );
}

#[test]
fn a_program_in_no_format_is_told_of_by_the_engines_runtime() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let _ = sleeper.exec(&["sh", "-c", "echo nonsense > /nonsense; chmod +x /nonsense"]);
    let found = output(&there(engine, &sleeper), &Command::new("/nonsense"));
    assert_eq!(found.exit, Exit::Code(1));
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(said.contains("exec format error"), "{said}");
}

#[test]
fn containers_that_cannot_be_entered() {
    let engine = shared!();
    let missing = Container::new(handle(engine), "tests-none");
    check_error(
        &missing,
        Command::new("true"),
        expect![
            "cannot enter `docker:tests-none`: the engine says: No such container: tests-none; exit code 125; hint: `thither list docker:` shows which there are"
        ],
    );
    let stopped = engine.container(&["sleep", "inf"]).name("tests-created").create();
    let said = told(&error(&there(engine, &stopped), &crate::common::null(Command::new("true"))));
    let said = said.replace(stopped.id(), "ID");
    expect!["cannot enter `docker:tests-created`: the engine says: Container ID is not running; exit code 125; hint: start it: `thither attach docker:NAME`"].assert_eq(&said);
    let paused = engine.container(&["sleep", "inf"]).name("tests-paused").start();
    paused.pause();
    check_error(
        &there(engine, &paused),
        Command::new("true"),
        expect![
            "cannot enter `docker:tests-paused`: the engine says: Container tests-paused is paused, unpause the container before exec; exit code 125; hint: `docker unpause` it"
        ],
    );
    paused.unpause();
    let hostile = Container::new(handle(engine), "../../x\n\x1b?&/");
    check_error(
        &hostile,
        Command::new("true"),
        expect![[r#"
        cannot enter `docker:../../x\n\u{1b}?&/`: the engine says: No such container: ../../x
        ?&/; exit code 125; hint: `thither list docker:` shows which there are"#]],
    );
    check_error(
        &Container::new(handle(engine), ""),
        Command::new("true"),
        expect![
            "cannot enter `docker:`: the engine says: No such container: ; exit code 125; hint: `thither list docker:` shows which there are"
        ],
    );
}

#[test]
fn what_ran_and_says_the_engines_words_is_believed() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let words = "OCI runtime exec failed: executable file not found";
    let found = output(&there(engine, &sleeper), &sh(&format!("echo '{words}'; exit 127")));
    assert_eq!(found.exit, Exit::Code(127));
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), words);
}

#[test]
fn arguments_and_variables_arrive_as_they_are() {
    use std::os::unix::ffi::OsStringExt;
    let engine = shared!();
    let container = engine.container(&["sleep", "inf"]).env("OWN", "1").env("GONE", "2").start();
    let place = there(engine, &container);
    let odd = ["", " ", "a\nb", "\"'\\$(x)", "é😀", "-n", "\n"];
    let said = says(&place, &Command::new("printf").arg("%s|").args(odd));
    assert_eq!(said, odd.join("|") + "|");
    let raw = std::ffi::OsString::from_vec(b"\xff\xfe\x80'\n".to_vec());
    let found = output(&place, &Command::new("printf").arg("%s").arg(raw));
    assert_eq!(found.stdout, b"\xff\xfe\x80'\n");
    let env = sh("echo $OWN-$GONE-$NEW").env("NEW", "a b").env_remove("GONE");
    assert_eq!(says(&place, &env), "1--a b\n");
    let clear = Command::new("env").env_clear().env("ONLY", "x=y");
    let said = says(&place, &clear);
    let mut names: Vec<&str> = said.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    names.retain(|name| !["THITHER_EXEC", "PATH", "HOME"].contains(name));
    assert_eq!(names, ["ONLY"], "{said}");
    assert!(said.contains("ONLY=x=y\n"), "{said}");
}

#[test]
fn users_and_folders() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let id = "echo $(id -u):$(id -g)";
    assert_eq!(says(&place, &sh(id).user("1000:1001")), "1000:1001\n");
    assert_eq!(says(&place, &sh(id).user("4242")), "4242:0\n");
    assert_eq!(says(&place, &sh("pwd").dir("/bin")), "/bin\n");
    let login = Command::login_shell().args(["-c", "echo $0 $-"]);
    assert!(says(&place, &login).contains("sh"));
}

#[test]
fn two_hundred_commands_leave_no_descriptor() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    assert_eq!(says(&place, &Command::new("echo").arg("first")), "first\n");
    let before = testkit::descriptors(std::process::id());
    crate::common::in_threads(4, 200, |n| {
        let found = match n % 4 {
            0 => says(&place, &Command::new("echo").arg("x")),
            1 => format!("{:?}", place.status(&null(Command::new("true"))).unwrap()),
            2 => told(&error(&place, &Command::new("/no/such"))),
            _ => {
                let size = thither_place::WindowSize { cols: 80, rows: 24 };
                let mut process = place.spawn(&Command::new("true").terminal(size)).unwrap();
                format!("{:?}", process.wait().unwrap())
            }
        };
        assert!(!found.is_empty());
    });
    let left = || {
        let now = testkit::descriptors(std::process::id());
        now.into_iter().filter(|(fd, _)| before.iter().all(|(old, _)| old != fd)).collect()
    };
    // Threads of streams may still be ending; and one connection is kept.
    let mut found: Vec<_> = left();
    let end = std::time::Instant::now() + DEADLINE;
    while found.len() > 1 && std::time::Instant::now() < end {
        std::thread::yield_now();
        found = left();
    }
    assert!(found.len() <= 1, "{found:?}");
}
