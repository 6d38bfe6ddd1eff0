//! The user's terminal and one of the daemon's.

use crate::harness::{Daemon, User, ends, kill};

fn both(check: impl Fn(&Daemon)) {
    check(&Daemon::unix(&[]));
    check(&Daemon::tcp(&[]));
}

#[test]
fn a_shell_and_back() {
    both(|daemon| {
        let mut user = User::of(daemon);
        user.shell.line("$T shell $P");
        user.shell.line("stty size; tty | cut -d/ -f1-3; echo $TERM");
        user.shell.expect("24 80\r\n/dev/pts\r\nxterm\r\n");
        user.shell.resize(100, 30);
        user.shell.line("until [ \"$(stty size)\" = '30 100' ]; do :; done; echo re\"\"sized");
        user.shell.expect("resized\r\n");
        user.shell.resize(80, 24);
        user.shell.line("exit 7");
        user.shell.expect_prompt();
        user.back_with(7);
    });
}

#[test]
fn a_prompt_of_python() {
    both(|daemon| {
        let mut user = User::of(daemon);
        user.shell.line("$T python $P");
        user.shell.expect(">>> ");
        user.shell.line("import os; print('pid', os.getpid() > 1)");
        user.shell.expect("pid True\r\n");
        user.shell.expect(">>> ");
        user.shell.line("1/0");
        user.shell.expect("ZeroDivisionError");
        user.shell.expect(">>> ");
        user.shell.line("raise SystemExit(6)");
        user.shell.expect_prompt();
        user.back_with(6);
    });
}

#[test]
fn keys() {
    let daemon = Daemon::unix(&[]);
    let mut user = User::of(&daemon);
    user.shell.line("$T run -t $P sh -c 'echo g\"\"o; exec sleep 1000'");
    user.shell.expect("go");
    user.shell.send("\x03");
    user.shell.expect_prompt();
    user.back_with(130);
    user.shell.line("$T run -t $P cat");
    user.shell.send("one\r");
    user.shell.expect("one\r\none\r\n");
    user.shell.send("\x04");
    user.shell.expect_prompt();
    user.back_with(0);
    // A dead remote can always be left.
    user.shell.line("$T run -t $P sh -c 'trap \"\" HUP; echo pid=$$.; stty -isig; cat'");
    let pid = user.pid();
    user.shell.expect("\r\n");
    user.shell.send("\r~.");
    user.shell.expect_prompt();
    ends(pid, "what was left");
}

#[test]
fn a_stop_key_is_for_the_program_there() {
    let daemon = Daemon::unix(&[]);
    let mut user = User::of(&daemon);
    user.shell.line("$T run -t $P sh -i");
    user.shell.line("echo r\"\"eady; cat");
    user.shell.expect("ready\r\n");
    user.shell.send("one\r");
    user.shell.expect("one\r\none\r\n");
    user.shell.send("\x1a");
    user.shell.expect("Stopped");
    user.shell.line("kill %1; exit 5");
    user.shell.line("exit 5");
    user.shell.expect_prompt();
}

#[test]
fn without_a_terminal_there() {
    let daemon = Daemon::unix(&[]);
    let mut user = User::of(&daemon);
    // ^C goes there as a signal, and a loop of the shell stops.
    user.shell.line("for i in 1 2; do $T run $P sh -c 'echo g\"\"o; exec sleep 1000'; done");
    user.shell.expect("go");
    user.shell.send("\x03");
    user.shell.expect_prompt();
    user.back_with(130);
    user.shell.line("$T run $P yes | head -1; echo d\"\"one");
    user.shell.expect("y\r\ndone\r\n");
    user.shell.expect_prompt();
}

#[test]
fn a_killed_client_restores_the_terminal() {
    both(|daemon| {
        let mut user = User::of(daemon);
        for signal in ["TERM", "KILL"] {
            user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
            let pid = user.pid();
            kill(user.tool(), signal);
            user.shell.expect_prompt();
            ends(pid, signal);
            user.back_with(if signal == "TERM" { 143 } else { 137 });
        }
    });
}

#[test]
fn the_terminal_goes_away() {
    let daemon = Daemon::unix(&[]);
    let mut user = User::of(&daemon);
    user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
    let pid = user.pid();
    let tool = user.tool();
    user.shell.close();
    ends(pid, "what ran at the terminal");
    ends(tool, "the tool");
}
