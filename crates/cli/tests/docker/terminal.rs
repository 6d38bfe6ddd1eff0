//! In a terminal, as a user has it.

use testkit::{DEADLINE, Session, wait_until};

use crate::tool::{User, engine, kill};

#[test]
fn a_shell_with_a_prompt_a_size_and_a_code() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let mut user = User::new(&engine.host());
    for verb in ["shell", "run -t"] {
        let script = "trap \"stty size\" WINCH; stty size; echo $TERM; \
                      while :; do read -r x && eval \"$x\"; done";
        user.shell.line(&format!("$T {verb} docker:{} sh -c '{script}'", sleeper.name()));
        user.shell.expect("24 80\r\nxterm\r\n");
        user.shell.resize(103, 39);
        user.shell.expect("39 103\r\n");
        for n in 0..200 {
            user.shell.resize(20 + n, 10 + n / 2);
        }
        user.shell.resize(91, 29);
        user.shell.send("until [ \"$(stty size)\" = \"29 91\" ]; do :; done; exit 6\r");
        user.shell.expect_prompt();
        user.shell.resize(80, 24);
        user.back_with(6);
    }
}

#[test]
fn a_login_shell() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let mut user = User::new(&engine.host());
    for place in [format!("docker:{}", sleeper.name()), "image:busybox".into()] {
        user.shell.line(&format!("$T shell --env PS1='in''side> ' {place}"));
        user.shell.expect("inside> ");
        // Its line editor reads ahead: what is typed has to wait for the program.
        user.shell.send("echo re\"\"ady; cat\r");
        user.shell.expect("ready\r\n");
        user.shell.send("abc\r");
        user.shell.expect("abc\r\nabc\r\n");
        user.shell.send(b"\x03");
        user.shell.expect("inside> ");
        user.shell.send("exit 8\r");
        user.shell.expect_prompt();
        user.back_with(8);
    }
}

/// Detaches with these keys from a `cat` at a terminal.
#[track_caller]
fn check_detach(user: &mut User, line: &str, keys: &str) {
    user.shell.line(line);
    user.shell.until("raw mode", |shell| shell.modes().is_raw());
    user.shell.send("one\r");
    user.shell.expect("one\r\none\r\n");
    // Neither key is detached by itself.
    user.shell.send("two\r");
    user.shell.expect("two\r\ntwo\r\n");
    user.shell.send(keys);
    user.shell.expect("thither: detached\r\n");
    user.shell.expect_prompt();
    user.back_with(0);
}

#[test]
fn detaching_and_attaching_again() {
    let engine = engine!(shared);
    let container = engine.container(&["cat"]).tty().stdin_open().create();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let (main, other) = (container.name().to_owned(), sleeper.name().to_owned());
    let mut user = User::new(&engine.host());
    let attach = format!("$T attach docker:{main}");
    check_detach(&mut user, &attach, "\x10\x11");
    assert!(container.is_running());
    check_detach(&mut user, &attach, "\x10\x11");
    let keys = format!("$T attach --detach-keys=ctrl-a,d docker:{main}");
    check_detach(&mut user, &keys, "\x01d");
    check_detach(&mut user, &format!("$T run -t docker:{other} cat"), "\x10\x11");
    check_detach(&mut user, &format!("$T shell --detach-keys x,y docker:{other} cat"), "xy");
    assert_eq!(sleeper.exec(&["ps"]).1.matches(" cat").count(), 2);
    user.shell.line(&attach);
    user.shell.until("raw mode", |shell| shell.modes().is_raw());
    user.shell.send("\x04");
    user.shell.expect_prompt();
    user.back_with(0);
}

#[test]
fn a_fresh_container_that_was_detached_ends_by_itself() {
    let engine = engine!(own);
    let mut user = User::new(&engine.host());
    check_detach(&mut user, "$T shell --name lives image:busybox cat", "\x10\x11");
    assert_eq!(engine.docker(&["inspect", "-f", "{{.State.Running}}", "lives"]), "true\n");
    user.shell.line("$T attach docker:lives");
    user.shell.until("raw mode", |shell| shell.modes().is_raw());
    user.shell.send("\x04");
    user.shell.expect_prompt();
    user.back_with(0);
    wait_until(DEADLINE, "it is removed", || engine.docker(&["ps", "-aq"]).is_empty());
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let main = engine.container(&["cat"]).tty().stdin_open().create();
    let mut user = User::new(&engine.host());
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("QUIT", 3)] {
        for line in [
            format!("$T shell docker:{} cat", sleeper.name()),
            "$T shell image:busybox cat".to_owned(),
            format!("$T attach --sig-proxy=false docker:{}", main.name()),
        ] {
            user.shell.line(&line);
            user.shell.until("raw mode", |shell| shell.modes().is_raw());
            user.shell.send("one\r");
            user.shell.expect("one\r\none\r\n");
            let tool = user.tool();
            kill(tool, signal);
            user.shell.expect_prompt();
            user.back_with(128 + number);
        }
    }
    assert!(main.is_running());
    let gone = || !sleeper.exec(&["ps"]).1.contains(" cat");
    wait_until(DEADLINE, "nothing runs on", gone);
}

#[test]
fn a_closed_window() {
    let engine = engine!(own);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let main = engine.container(&["cat"]).tty().stdin_open().create();
    for line in [
        format!("$T shell docker:{} sh -c 'echo re\"\"ady; exec sleep 1000'", sleeper.name()),
        "$T shell image:busybox sh -c 'echo re\"\"ady; exec sleep 1000'".to_owned(),
        format!("$T attach docker:{}", main.name()),
    ] {
        let mut user = User::new(&engine.host());
        user.shell.line(&line);
        match line.contains("attach") {
            true => user.shell.until("raw mode", |shell| shell.modes().is_raw()),
            false => drop(user.shell.expect("ready")),
        }
        let User { shell, marker, .. } = user;
        Session::close(shell);
        marker.assert_gone();
    }
    assert!(main.is_running());
    let left = || engine.docker(&["ps", "-aq", "--filter", "label=thither"]);
    wait_until(DEADLINE, "the fresh container is removed", || left().is_empty());
    let gone = || !sleeper.exec(&["ps"]).1.contains("1000");
    wait_until(DEADLINE, "nothing runs on", gone);
}

#[test]
fn a_job_in_the_background_waits() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let mut user = User::new(&engine.host());
    // It would read the terminal once there is something to read, and does not spin until then.
    user.shell.line(&format!("$T run docker:{} sh -c 'echo re\"\"ady; cat' &", sleeper.name()));
    user.shell.expect("ready");
    let tool = user.tool();
    // The fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
    let spent = move || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{tool}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields[11..13].iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum()
    };
    let before = spent();
    user.shell.line("sleep 1");
    user.shell.expect_prompt();
    assert!(spent() - before < 20, "it spins");
    user.shell.line("fg");
    user.shell.until("it is in the foreground", |shell| shell.foreground() == Some(tool));
    user.shell.send("one\r");
    user.shell.expect("one\r\none\r\n");
    user.shell.send("\x04");
    user.shell.expect_prompt();
    user.back_with(0);
    // One without input just runs.
    user.shell
        .line(&format!("$T run -n docker:{} sh -c 'exit 3' & wait $!; (exit $?)", sleeper.name()));
    user.shell.expect_prompt();
    user.back_with(3);
}
