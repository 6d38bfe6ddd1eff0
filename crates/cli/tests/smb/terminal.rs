//! The user's terminal and one over there.

use crate::harness::{User, ends, kill};
use crate::host::host;

#[test]
fn a_shell_and_back() {
    let host = host!();
    let mut user = User::of(&host.daemon);
    user.shell.line("$T shell $P");
    user.shell.line("stty size; tty | cut -d/ -f1-3; echo $TERM; id -un");
    user.shell.expect(format!("24 80\r\n/dev/pts\r\nxterm\r\n{}\r\n", host.smbd.user()));
    user.shell.resize(100, 30);
    user.shell.line("until [ \"$(stty size)\" = '30 100' ]; do :; done; echo re\"\"sized");
    user.shell.expect("resized\r\n");
    user.shell.resize(80, 24);
    user.shell.line("exit 7");
    user.shell.expect_prompt();
    user.back_with(7);
}

#[test]
fn keys() {
    let host = host!();
    let mut user = User::of(&host.daemon);
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
fn without_a_terminal_there() {
    let host = host!();
    let mut user = User::of(&host.daemon);
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
    let host = host!();
    let mut user = User::of(&host.daemon);
    for signal in ["TERM", "KILL"] {
        user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
        let pid = user.pid();
        kill(user.tool(), signal);
        user.shell.expect_prompt();
        ends(pid, signal);
        user.back_with(if signal == "TERM" { 143 } else { 137 });
    }
}

#[test]
fn a_host_that_goes_down_restores_the_terminal() {
    let mut host = host!();
    let mut user = User::of(&host.daemon);
    user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
    let pid = user.pid();
    host.smbd.kill();
    user.shell.expect("connection to");
    user.shell.expect("lost");
    user.shell.expect_prompt();
    user.back_with(125);
    ends(pid, "what ran there");
}
