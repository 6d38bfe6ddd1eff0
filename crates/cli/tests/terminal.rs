//! The terminal, as a user has it: a shell in a pty, and `thither` started from its prompt.

use std::path::PathBuf;
use std::process::Command;

use testkit::{BusyboxRoot, Marker, Modes, PublicCopy, Session, Tmux, as_user, is_root, skip};

const THITHER: &str = env!("CARGO_BIN_EXE_thither");

/// The user's shell, with the modes that its terminal had before.
struct User {
    shell: Session,
    before: Modes,
    marker: Marker,
    _copy: Option<PublicCopy>,
}

impl User {
    /// Whoever runs the tests.
    fn new() -> User {
        User::start(THITHER.into(), None)
    }

    /// Somebody without the rights of root.
    fn ordinary() -> User {
        let copy = PublicCopy::of(THITHER).expect("a copy of the program");
        User::start(copy.path().to_owned(), Some(copy))
    }

    fn start(program: PathBuf, copy: Option<PublicCopy>) -> User {
        let marker = Marker::new();
        let shell = Session::shell((80, 24), |command| {
            marker.mark(command).env("T", &program).env_remove("XDG_RUNTIME_DIR").current_dir("/");
            if copy.is_some() {
                as_user(command);
            }
        });
        let before = shell.modes();
        User { shell, before, marker, _copy: copy }
    }

    /// Starts an inner shell and waits for its prompt.
    #[track_caller]
    fn enter(&mut self, place: &str) {
        self.shell.line(&format!("$T shell {place} sh"));
        self.shell.expect_prompt();
    }

    /// What a line of shell prints.
    #[track_caller]
    fn says(&mut self, line: &str) -> String {
        // The echo of the line itself does not have the marks.
        self.shell.line(&format!("echo '<''<'; {line}; echo '>''>'"));
        self.shell.expect("<<\r\n");
        let text = self.shell.expect(">>");
        self.shell.expect_prompt();
        text.trim_end_matches(">>").trim().replace('\r', "")
    }

    /// Checks the exit code of what was started last, and that the terminal is as it was.
    #[track_caller]
    fn back_with(&mut self, code: u8) {
        self.shell.line("echo \"code<$?>\"");
        self.shell.expect(format!("code<{code}>"));
        self.shell.expect_prompt();
        assert_eq!(self.shell.modes(), self.before);
    }

    /// The process id of the one `thither` that runs as a job of this shell.
    #[track_caller]
    fn tool(&mut self) -> u32 {
        let mut found = 0;
        let shell = self.shell.pid();
        self.shell.until("thither runs", |_| {
            let children = format!("/proc/{shell}/task/{shell}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let last = children.split_whitespace().last().and_then(|pid| pid.parse().ok());
            found = last.unwrap_or(0);
            found != 0
        });
        found
    }
}

fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.expect("kill(1)").success());
}

#[track_caller]
fn everywhere(check: impl Fn(&str, User)) {
    check("local:", User::new());
    check("chroot:/", User::new());
    check("chroot:/", User::ordinary());
}

#[test]
fn a_shell_with_a_prompt_a_size_and_an_exit_code() {
    everywhere(|place, mut user| {
        user.enter(place);
        assert_eq!(user.says("stty size"), "24 80");
        assert_eq!(user.says("echo $TERM"), "xterm");
        let terminal = user.says("tty");
        assert!(terminal.starts_with("/dev/pts/"), "{terminal}");
        // Not interactive: its children are in its own process group, which is the one that gets the signal.
        let script = "trap 'stty size; exit 7' WINCH; echo re''ady; while :; do sleep 0.1; done";
        user.shell.line(&format!("sh -c \"{script}\"; exit"));
        user.shell.expect("ready");
        user.shell.resize(103, 39);
        user.shell.expect("39 103");
        user.shell.expect_prompt();
        user.shell.resize(80, 24);
        user.back_with(7);
    });
}

#[test]
fn frantic_resizing_ends_at_the_last_size() {
    everywhere(|place, mut user| {
        user.enter(place);
        for n in 0..200 {
            user.shell.resize(20 + n, 10 + n / 2);
        }
        user.shell.resize(91, 29);
        user.shell.line("until [ \"$(stty size)\" = '29 91' ]; do :; done; exit 3");
        user.shell.expect_prompt();
        user.shell.resize(80, 24);
        user.back_with(3);
    });
}

#[test]
fn keys_reach_the_job_inside() {
    everywhere(|place, mut user| {
        user.enter(place);
        user.shell.line("cat; echo code $?");
        user.shell.send("abc\r");
        user.shell.expect("abc\r\nabc\r\n");
        user.shell.send(b"\x03");
        user.shell.expect_prompt();
        user.shell.line("cat");
        user.shell.send("def\r");
        user.shell.expect("def\r\ndef\r\n");
        user.shell.send(b"\x1a");
        user.shell.expect("Stopped");
        user.shell.expect_prompt();
        user.shell.line("fg");
        user.shell.expect("cat");
        user.shell.send("ghi\r");
        user.shell.expect("ghi\r\nghi\r\n");
        user.shell.send(b"\x04");
        user.shell.expect_prompt();
        user.shell.send(b"\x04");
        user.shell.expect_prompt();
        user.back_with(0);
    });
}

#[test]
fn a_program_that_is_stopped_suspends_us_and_fg_continues_both() {
    everywhere(|place, mut user| {
        user.shell.line(&format!("$T run -t {place} cat"));
        user.shell.until("raw mode", |shell| shell.modes().is_raw());
        user.shell.send("abc\r");
        user.shell.expect("abc\r\nabc\r\n");
        for _ in 0..3 {
            user.shell.send(b"\x1a");
            user.shell.expect("Stopped");
            user.shell.expect_prompt();
            assert_eq!(user.shell.modes(), user.before);
            user.shell.line("fg");
            user.shell.until("raw mode", |shell| shell.modes().is_raw());
            user.shell.send("def\r");
            user.shell.expect("def\r\ndef\r\n");
        }
        user.shell.send(b"\x04");
        user.shell.expect_prompt();
        user.back_with(0);
    });
}

#[test]
fn sigtstp_to_us_gives_the_terminal_back_until_fg() {
    everywhere(|place, mut user| {
        user.enter(place);
        let tool = user.tool();
        kill(tool, "TSTP");
        user.shell.expect("Stopped");
        user.shell.expect_prompt();
        assert_eq!(user.shell.modes(), user.before);
        user.shell.resize(99, 33);
        user.shell.line("fg");
        user.shell.until("raw mode", |shell| shell.modes().is_raw());
        user.shell.line("until [ \"$(stty size)\" = '33 99' ]; do :; done; exit 4");
        user.shell.expect_prompt();
        user.shell.resize(80, 24);
        user.back_with(4);
    });
}

#[test]
fn told_to_end_we_end_all_of_it_and_restore_the_terminal() {
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130), ("QUIT", 131)] {
        everywhere(|place, mut user| {
            user.enter(place);
            user.shell.line("trap '' TERM HUP INT QUIT; cat");
            user.shell.send("abc\r");
            user.shell.expect("abc\r\nabc\r\n");
            kill(user.tool(), signal);
            user.shell.expect_prompt();
            user.back_with(code);
            user.shell.line("exit");
            user.shell.wait();
            user.marker.assert_gone();
        });
    }
}

#[test]
fn killed_we_end_all_of_it_and_restore_the_terminal() {
    everywhere(|place, mut user| {
        user.enter(place);
        user.shell.line("printf '\\033[?1049h\\033[?2004h'; cat");
        user.shell.expect("\x1b[?2004h");
        kill(user.tool(), "KILL");
        for undone in ["\x1b[?1049l", "\x1b[?2004l"] {
            user.shell.until(undone, |shell| shell.transcript().contains(undone));
        }
        let before = user.before.clone();
        user.shell.until("cooked again", |shell| shell.modes() == before);
        user.shell.expect_prompt();
        user.back_with(137);
        user.shell.line("exit");
        user.shell.wait();
        user.marker.assert_gone();
    });
}

#[test]
fn a_killed_program_gives_its_signal_and_a_clean_screen() {
    everywhere(|place, mut user| {
        user.enter(place);
        user.shell.line("printf '\\033[?1049h\\033[?1000h\\033[?2004h\\033[?25l'; kill -9 $$");
        user.shell.expect_prompt();
        for undone in ["\x1b[?1049l", "\x1b[?1000l", "\x1b[?2004l", "\x1b[?25h"] {
            assert!(user.shell.transcript().contains(undone), "{}", undone.escape_debug());
        }
        user.back_with(137);
    });
}

#[test]
fn a_program_that_ends_by_itself_has_the_last_word_on_the_screen() {
    everywhere(|place, mut user| {
        user.enter(place);
        user.shell.line("printf '\\033[?2004h'; exit 5");
        user.shell.expect_prompt();
        user.back_with(5);
        assert!(!user.shell.transcript().contains("\x1b[?2004l"));
    });
}

#[test]
fn a_tilde_and_a_dot_leave() {
    everywhere(|place, mut user| {
        user.enter(place);
        user.shell.line("trap '' HUP; echo re''ady; cat");
        user.shell.expect("ready");
        user.shell.send("~.");
        user.shell.expect("left ");
        user.shell.expect_prompt();
        user.back_with(125);
    });
}

#[test]
fn the_other_escapes() {
    everywhere(|place, mut user| {
        user.enter(place);
        user.shell.send("~?");
        user.shell.expect("leaves");
        user.shell.send("~\x1a");
        user.shell.expect("Stopped");
        user.shell.expect_prompt();
        assert_eq!(user.shell.modes(), user.before);
        user.shell.line("fg");
        user.shell.until("raw mode", |shell| shell.modes().is_raw());
        user.shell.line("~~; echo ~~; exit 6");
        user.shell.expect("~~\r\n");
        user.shell.expect_prompt();
        user.back_with(6);
    });
}

#[test]
fn in_the_background_we_stop_and_do_not_spin() {
    everywhere(|place, mut user| {
        user.shell.line(&format!("$T shell {place} sh &"));
        user.shell.expect_prompt();
        let tool = user.tool();
        let state = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
        };
        user.shell.until("it is stopped", |_| state(tool) == Some('T'));
        assert_eq!(user.shell.modes(), user.before);
        user.shell.line("fg");
        // The inner shell's own.
        user.shell.expect_prompt();
        user.shell.line("exit 8");
        user.shell.expect_prompt();
        user.back_with(8);
    });
}

#[test]
fn input_from_a_pipe_and_output_to_one() {
    everywhere(|place, mut user| {
        assert_eq!(user.says(&format!("echo 'echo $((40+2))' | $T shell {place} sh")), "42");
        assert_eq!(user.says(&format!("$T shell {place} seq 1 20000 | tail -n 1")), "20000");
        assert_eq!(user.says(&format!("$T shell {place} sh -c 'exit 9' | cat; echo $?")), "0");
        user.back_with(0);
    });
}

#[test]
fn every_byte_arrives() {
    everywhere(|place, mut user| {
        user.shell
            .line(&format!("$T run -t {place} sh -c 'stty -echo; echo re\"\"ady; cat | cksum'"));
        user.shell.expect("ready\r\n");
        let text: String = (0..4000).map(|n| format!("line {n} of what is pasted\n")).collect();
        user.shell.send(text.replace('\n', "\r"));
        user.shell.send(b"\x04");
        let sum = user.shell.expect_prompt();
        let size: usize = sum.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        assert_eq!(size, text.len(), "{sum}");
        // And back: the sum of a long output, the line ends as the terminal makes them.
        let direct = user.says("seq 1 30000 | cksum");
        let through = user.says(&format!("$T shell {place} seq 1 30000 | tr -d '\\r' | cksum"));
        assert_eq!(direct, through);
        user.back_with(0);
    });
}

#[test]
fn nothing_inside_a_root_types_into_the_terminal() {
    // perl is in every Debian. TIOCSTI is 0x5412.
    let script = "$c = \" \"; ioctl(STDIN, 0x5412, $c) ? print \"typed\" : print \"refused $!\"";
    let perl = format!("perl -e '{script}'");
    let mut user = User::new();
    if let Err(reason) = testkit::find_program("perl") {
        skip!("{reason}");
    }
    // Some kernels refuse it to everybody (dev.tty.legacy_tiocsti); it is refused inside as well then.
    let possible = user.says(&perl).contains("typed");
    let refused = "refused Operation not permitted";
    assert_eq!(user.says(&format!("$T run chroot:/ {perl}")), refused);
    assert_eq!(user.says(&format!("$T run chroot:/ {perl} </dev/tty")), refused);
    let mut user = User::ordinary();
    assert_eq!(user.says(&format!("$T run chroot:/ {perl}")), refused);
    // On a terminal of its own it may do as it likes.
    let typed = user.says(&format!("$T run -t chroot:/ {perl}")).contains("typed");
    assert_eq!(typed, possible);
}

#[test]
fn a_terminal_that_nobody_reads_does_not_keep_us_from_ending() {
    everywhere(|place, mut user| {
        // Its end is seen at the other terminal, of the shell that waits for it.
        user.shell.line(&format!("mkfifo /tmp/$$; $T shell {place} yes </dev/tty >/tmp/$$ & "));
        user.shell.expect_prompt();
        user.shell.line("exec 3</tmp/$$; rm /tmp/$$; fg");
        user.shell.until("raw mode", |shell| shell.modes().is_raw());
        kill(user.tool(), "TERM");
        user.shell.expect_prompt();
        user.back_with(143);
    });
}

#[test]
fn a_window_that_is_closed_ends_what_runs_in_it() {
    everywhere(|place, mut user| {
        user.enter(place);
        // A place of its own ends as a whole; here a job in the background lives on, as with any terminal.
        let job = if place == "local:" { "" } else { "sleep 1000 & " };
        user.shell.line(&format!("{job}trap '' TERM; cat"));
        user.shell.send("abc\r");
        user.shell.expect("abc\r\nabc\r\n");
        let User { shell, marker, .. } = user;
        shell.close();
        marker.assert_gone();
    });
}

#[test]
fn a_root_of_its_own_in_tmux() {
    let root = match BusyboxRoot::new() {
        Ok(root) => root,
        Err(reason) => skip!("{reason}"),
    };
    let place = format!("chroot:{}", root.path().display());
    let tmux = match Tmux::start((80, 24), &["sh"]) {
        Ok(tmux) => tmux,
        Err(reason) => skip!("{reason}"),
    };
    tmux.line(&format!("{THITHER} shell --env PS1='in''side> ' {place} ash"));
    // The screen is shown without the space at its end.
    tmux.wait_for("inside>");
    tmux.line("clear; echo pid $$ of $(ps | wc -l); stty size");
    tmux.wait_for("24 80");
    tmux.resize(100, 30);
    tmux.line("clear; until [ \"$(stty size)\" = '30 100' ]; do :; done; echo re''sized");
    tmux.wait_for("resized");
    tmux.line("exit 21");
    tmux.line("echo code $?");
    tmux.wait_for("code 21");
}

#[test]
fn the_tests_know_who_they_are() {
    // Without root both users of `everywhere` are the same one, and half of it is not tested.
    if !is_root() {
        skip!("only root can test as root and as an ordinary user");
    }
}

#[test]
fn a_terminal_from_within_a_pid_namespace() {
    // The outer tool's command has no process group of its own there: it belongs to one that has no number inside.
    let mut user = User::new();
    for unshared in ["unshare -pf --mount-proc", "$T run chroot:/ --"] {
        if !is_root() {
            skip!(
                "only root has pid namespaces without a user namespace, in which the program can be reached"
            );
        }
        user.shell.line(&format!("{unshared} $T shell local: sh"));
        user.shell.expect_prompt();
        assert_eq!(user.says("stty size"), "24 80");
        user.shell.line("exit 6");
        user.shell.expect_prompt();
        user.back_with(6);
        // A kill leaves the terminal to the keeper, which knows the group in the foreground as little.
        user.shell.line(&format!("{unshared} sh -c '$T shell local: sh; read line; exit 7'"));
        user.shell.expect_prompt();
        // Its supervisor's parent.
        user.shell.line("kill -KILL $(cut -d' ' -f4 /proc/$PPID/stat)");
        let before = user.before.clone();
        user.shell.until("cooked again", |shell| shell.modes() == before);
        user.shell.line("");
        user.shell.expect_prompt();
        user.back_with(7);
    }
}
