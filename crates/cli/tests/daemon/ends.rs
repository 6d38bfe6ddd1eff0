//! How a daemon begins and ends.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Daemon, Folders, THITHER, ends, failure, lives, rest, says};

#[test]
fn what_runs_may_finish() {
    let mut daemon = Daemon::unix(&[]);
    let (mut child, _) = daemon.running(&["sh", "-c", "echo go; cat; echo done; exit 4"]);
    daemon.signal("TERM");
    assert_eq!(daemon.event("ending")["connections"], 1);
    let said = failure(says(&mut daemon.run(&["true"])));
    assert!(said.contains("hint: start one"), "{said}");
    drop(child.stdin.take());
    assert_eq!(rest(child), ("done\n".into(), String::new(), 4));
    assert_eq!(daemon.event("ended")["left"], 0);
    assert_eq!(daemon.ends(), Some(0));
    assert!(!daemon.folders.socket().exists());
}

#[test]
fn what_goes_on_for_too_long_is_ended() {
    for (grace, signals) in
        [("0", &["TERM"][..]), ("1000", &["TERM", "TERM"]), ("1000", &["INT", "HUP"])]
    {
        let mut daemon = Daemon::unix(&["--grace", grace]);
        let script = "trap '' TERM HUP; echo $$; while :; do sleep 0.1; done";
        let (child, pid) = daemon.running(&["sh", "-c", script]);
        daemon.signal(signals[0]);
        daemon.event("ending");
        for signal in &signals[1..] {
            assert!(lives(pid.parse().unwrap()));
            daemon.signal(signal);
        }
        assert_eq!(daemon.event("end")["why"], "the daemon ended it");
        assert_eq!(daemon.ends(), Some(0));
        ends(pid.parse().unwrap(), "what ran too long");
        assert!(failure(rest(child)).contains("lost"));
    }
}

#[test]
fn what_a_killed_one_leaves() {
    let mut daemon = Daemon::unix(&[]);
    let socket = daemon.folders.socket();
    let path = socket.to_str().unwrap().to_owned();
    let again = |folders: &Folders| {
        let args = ["serve", "--allow-root", "--socket", &path];
        failure(says(&mut folders.there(args)))
    };
    let said = again(&daemon.folders);
    assert_eq!(said, format!("error: cannot listen: another daemon listens at `{path}`\n"));
    daemon.works();
    daemon.signal("KILL");
    daemon.ends();
    assert!(socket.exists());
    let said = failure(says(&mut daemon.run(&["true"])));
    let hint = format!("hint: start one: `thither serve --socket {path}`");
    assert!(said.contains("refused") && said.contains(&hint), "{said}");
    let other = Daemon::start(Folders::new(), &["--socket", &path]);
    other.works();
    drop(other);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    let said = again(&daemon.folders);
    assert!(said.contains("is there already, and is no socket"), "{said}");
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
    fs::remove_file(&socket).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &socket).unwrap();
    assert!(again(&daemon.folders).contains("is no socket"));
}

#[test]
fn root_by_accident() {
    if !testkit::is_root() {
        testkit::skip!("only root can be refused as root");
    }
    let folders = Folders::new();
    let socket = folders.socket();
    let said = failure(says(&mut folders.there(["serve", "--socket", socket.to_str().unwrap()])));
    assert_eq!(
        said,
        "error: whoever may use this daemon would be root\n\
         hint: run it as another user, or say --allow-root if that is meant\n"
    );
    assert!(!socket.exists());
    let mut daemon = Daemon::unix(&[]);
    assert!(daemon.event("root")["warning"].is_string());
}

#[test]
fn addresses_that_cannot_be() {
    let folders = Folders::new();
    folders.token();
    let serve = |args: &[&str]| {
        failure(says(&mut folders.there([&["serve", "--allow-root"], args].concat())))
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let _keep = std::net::TcpListener::bind(&taken);
    for (args, why) in [
        (["--listen", "198.51.100.1:1"], "annot assign requested address"),
        (["--listen", "nosuchhost.invalid"], "cannot listen at `nosuchhost.invalid`"),
        (["--listen", "127.0.0.1:99999"], "cannot listen at `127.0.0.1:99999`"),
        (["--socket", "/no/such/folder/sock"], "o such file or directory"),
    ] {
        let said = serve(&args);
        assert!(said.contains(why), "{said}");
    }
    let long = "x".repeat(120);
    let said = serve(&["--socket", &long]);
    assert!(said.starts_with("error: cannot listen: "), "{said}");
}

/// As sd_listen_fds(3) hands them over: python opens them, since a shell cannot.
fn handed_over(kind: &str) -> (Folders, Command) {
    let folders = Folders::new();
    let code = "\
import os, socket, sys
kind, path, tool = sys.argv[1:]
if kind == 'unix':
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
elif kind == 'udp':
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
else:
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
if kind != 'udp':
    s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(tool, [tool, 'serve', '--allow-root', '--log', 'json'])
";
    let mut command = Command::new("python3");
    folders.at("there", command.env_clear());
    command.args(["-c", code, kind]).arg(folders.socket()).arg(THITHER).stdin(Stdio::null());
    (folders, command)
}

#[test]
fn a_socket_that_was_handed_over() {
    let (folders, command) = handed_over("unix");
    let mut daemon = Daemon::of(folders, command);
    assert_eq!(daemon.place, format!("daemon:{}", daemon.folders.socket().display()));
    daemon.works();
    // What runs is not told of it, and has no descriptor of it.
    let mut shown =
        daemon.run(&["sh", "-c", "env | grep -c ^LISTEN_; ls /proc/self/fd | tr '\\n' ' '"]);
    assert_eq!(says(&mut shown).0, "0\n0 1 2 3 ");
    daemon.signal("TERM");
    assert_eq!(daemon.ends(), Some(0));
    assert!(daemon.folders.socket().exists(), "it is not ours to remove");
    let (folders, mut command) = handed_over("tcp");
    let said = failure(says(&mut command));
    assert!(said.contains("no key is authorised"), "{said}");
    drop(folders);
    let (_folders, mut command) = handed_over("udp");
    let said = failure(says(&mut command));
    assert!(said.contains("descriptor 3: it is no socket that listens"), "{said}");
    let (folders, command) = handed_over("tcp");
    let token = folders.token();
    let daemon = Daemon::of(folders, command);
    let mut pair = daemon.here(["pair", &daemon.place]);
    assert_eq!(crate::harness::says_to(&mut pair, token.as_bytes()).2, 0);
    daemon.works();
}

#[test]
fn units() {
    if let Err(reason) = testkit::find_program("systemd-analyze") {
        testkit::skip!("{reason}");
    }
    let folders = Folders::new();
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    for name in ["thither.service", "thither.socket"] {
        let text = fs::read_to_string(dist.join(name)).unwrap();
        // It wants to find the program.
        fs::write(folders.path(name), text.replace("=thither ", &format!("={THITHER} "))).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["--user", "--man=no", "verify"]);
    verify.args([folders.path("thither.service"), folders.path("thither.socket")]);
    let (out, err, code) = says(folders.at("there", &mut verify).stdin(Stdio::null()));
    assert_eq!(code, 0, "{out}{err}");
}
