//! The user's terminal and one over there.

use crate::tool::{User, ends, host, kill};

#[test]
fn a_shell_and_back() {
    let host = host!("bash");
    let mut user = User::of(&host);
    user.shell.line("$T shell $P");
    user.shell.line("stty size; tty | cut -d/ -f1-3; echo $TERM");
    user.shell.expect("24 80\r\n/dev/pts\r\nxterm\r\n");
    user.shell.resize(100, 30);
    user.shell.line("sleep 0.2; stty size");
    user.shell.expect("30 100\r\n");
    user.shell.resize(80, 24);
    user.shell.line("exit 7");
    user.shell.expect_prompt();
    user.back_with(7);
}

#[test]
fn its_modes_are_the_users() {
    // All but BRKINT, which the protocol does not know (RFC 4254, 8).
    let host = host!("bash");
    let mut user = User::of(&host);
    for modes in ["erase ^H -ixon", "sane", "-iutf8 intr ^X", "iutf8 tostop -echoctl"] {
        for env in ["", "--env A=1"] {
            user.shell.line(&format!("stty {modes}; stty -a >/tmp/thither-$$.modes; $T run -t {env} $P stty -a >/tmp/thither-$$.there; echo d\"\"one"));
            user.shell.expect("done\r\n");
            user.shell.expect_prompt();
            user.shell.line("cd /tmp; sed -i 's/-*brkint//; s/\\r//' thither-$$.*; diff thither-$$.there thither-$$.modes && echo s\"\"ame; rm /tmp/thither-$$.*; stty sane");
            user.shell.expect("same\r\n");
            user.shell.expect_prompt();
        }
    }
}

#[test]
fn keys() {
    let host = host!("bash");
    let mut user = User::of(&host);
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
    user.shell.expect("pid=$");
    user.shell.expect("pid=");
    let pid = user.shell.expect(".");
    user.shell.expect("\r\n");
    user.shell.send("\r~.");
    user.shell.expect_prompt();
    ends(pid.trim_end_matches('.').parse().unwrap(), "what was left");
}

#[test]
fn a_stop_key_is_for_the_program_there() {
    let host = host!("bash");
    let mut user = User::of(&host);
    user.shell.line("$T shell $P");
    user.shell.line("echo r\"\"eady; cat");
    user.shell.expect("ready\r\n");
    // It has the terminal when it answers.
    user.shell.send("one\r");
    user.shell.expect("one\r\none\r\n");
    user.shell.send("\x1a");
    user.shell.expect("Stopped");
    user.shell.line("jobs -p | wc -l; kill %1; exit 5");
    user.shell.expect("1\r\n");
    user.shell.line("exit 5");
    user.shell.expect_prompt();
}

#[test]
fn the_terminal_goes_away() {
    let host = host!("bash");
    let mut user = User::of(&host);
    user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
    user.shell.expect("pid=");
    user.shell.expect("pid=");
    let pid: u32 = user.shell.expect(".").trim_end_matches('.').parse().unwrap();
    let tool = user.tool();
    user.shell.close();
    ends(pid, "what ran at the terminal");
    ends(tool, "the tool");
}

#[test]
fn a_killed_tool_restores_the_terminal() {
    let host = host!("bash");
    let mut user = User::of(&host);
    for signal in ["TERM", "KILL"] {
        user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
        user.shell.expect("pid=$");
        user.shell.expect("pid=");
        let pid: u32 = user.shell.expect(".").trim_end_matches('.').parse().unwrap();
        kill(user.tool(), signal);
        user.shell.expect_prompt();
        ends(pid, signal);
        user.back_with(if signal == "TERM" { 143 } else { 137 });
    }
}

#[test]
fn variables_at_a_terminal_are_not_shown() {
    let host = host!("bash");
    let mut user = User::of(&host);
    user.shell.line("$T run -t --env 'A=s3cret text' $P sh -c 'echo ${#A}; exit 3'");
    let shown = user.shell.expect_prompt();
    assert_eq!(shown.matches("s3cret").count(), 1, "{shown}");
    assert!(shown.contains("11\r\n"), "{shown}");
    user.back_with(3);
}
