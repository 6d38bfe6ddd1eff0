//! How a command ends.

use thither_place::{Command, Exit};
use thither_remote::Ssh;

use crate::common::{error, host, in_threads, output, sh, told};

macro_rules! shells {
    ($check:ident: $($test:ident $shell:literal)*) => {
        $(#[test]
        fn $test() {
            let host = host!($shell);
            $check(&host.place());
        })*
    };
}

#[track_caller]
fn check(place: &Ssh, command: &Command, code: i32, complaint: &str) {
    let output = output(place, command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.exit, said.as_str()), (Exit::Code(code), complaint), "{command:?}");
}

fn codes(place: &Ssh) {
    check(place, &sh("exit 0"), 0, "");
    in_threads(4, 256, |n| {
        let code = i32::try_from(n).unwrap();
        check(place, &sh(&format!("exit {code}")), code, "");
    });
}

/// Signals that end a program, by their numbers.
const DEADLY: [i32; 21] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 29, 31];

fn killed(place: &Ssh) {
    for signal in DEADLY {
        // Not one that the script around it, or a shell, could take for its own.
        let command = Command::new("sh").args(["-c", &format!("ulimit -c 0; kill -{signal} $$")]);
        check(place, &command, 128 + signal, "");
        check(place, &command.env("A", "1"), 128 + signal, "");
    }
}

fn not_run(place: &Ssh) {
    let said = |command: &Command| {
        let output = output(place, command);
        (output.exit, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for env in [None, Some("1")] {
        let with = |command: Command| env.map_or(command.clone(), |value| command.env("A", value));
        let (exit, text) = said(&with(Command::new("no-such-program")));
        assert_eq!(exit, Exit::Code(127), "{text}");
        assert!(text.contains("no-such-program") && text.lines().count() == 1, "{text}");
        let (exit, text) = said(&with(Command::new("/no/such/program")));
        assert_eq!(exit, Exit::Code(127), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for program in ["/etc/passwd", "/etc"] {
            let (exit, text) = said(&with(Command::new(program)));
            assert_eq!(exit, Exit::Code(126), "{text}");
            // bash says it twice.
            assert!(text.contains(program) && text.lines().count() <= 2, "{text}");
        }
        let (exit, text) = said(&with(Command::new("true").dir("/no/such")));
        assert_eq!(exit, Exit::Code(125), "{text}");
        assert!(text.contains("/no/such") && text.lines().count() == 1, "{text}");
        let (exit, text) = said(&with(Command::new("true").dir("/root")));
        assert_eq!(exit, Exit::Code(125), "{text}");
    }
}

shells!(codes: codes_by_sh "sh" codes_by_fish "fish");
shells!(killed: killed_by_sh "sh" killed_by_bash "bash" killed_by_zsh "zsh" killed_by_fish "fish");
shells!(not_run: not_run_by_sh "sh" not_run_by_bash "bash" not_run_by_zsh "zsh" not_run_by_fish "fish");

#[test]
fn the_shell_around_it_is_killed() {
    let host = host!("sh");
    let told = told(&error(&host.place(), &sh("kill -KILL $PPID")));
    let expected = format!(
        "cannot wait for the command in `ssh:{}@thither-test`: the shell around the command was killed, so nobody \
         knows how it ended; exit code 125",
        host.user
    );
    assert_eq!(told, expected);
}

#[test]
fn a_script_is_run_as_a_local_one() {
    let host = host!("bash");
    // Its parent ignores nothing, and it has no descriptors but three.
    // Of the signals with names: those of the C library may be ignored by who started the tests.
    let script =
        "trap; ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status | grep -v '0000000$'";
    let output = output(&host.place(), &sh(script));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\n");
}
