//! Control masters: how many there are, and what becomes of bad ones.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::sync::Arc;

use testkit::{DEADLINE, SshHome, wait_until, within_deadline};
use thither_place::{Command, Error, Exit, Place};

use crate::common::{
    Started, error, host, in_threads, null, output, says, sh, started, told, wait,
};

/// The sockets in the folder of our own records.
fn sockets() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/run/thither").into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_none() && path.to_string_lossy().contains("/ssh-"))
        .collect()
}

fn socket() -> PathBuf {
    let sockets = sockets();
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    sockets[0].clone()
}

#[test]
fn twenty_at_a_cold_start_share_one() {
    let host = host!("bash");
    let place = host.place();
    in_threads(20, 20, |n| {
        assert_eq!(says(&place, &Command::new("echo").arg(n.to_string())), format!("{n}\n"))
    });
    assert_eq!(SshHome::masters().len(), 1);
    let accepted = host.sshd.log().matches("Accepted publickey").count();
    assert_eq!(accepted, 1, "{}", host.sshd.log());
}

#[test]
fn more_than_a_host_allows() {
    let host = host!("bash", "MaxSessions 4");
    let place = host.place();
    let all: Vec<Started> =
        (0..13).map(|_| started(&place, sh("echo $$; exec sleep 1000"))).collect();
    assert!(SshHome::masters().len() > 1);
    for mut one in all {
        one.process.signal(15).unwrap();
        assert_eq!(wait(one.process).unwrap(), Exit::Code(143));
    }
    let masters = SshHome::masters().len();
    in_threads(13, 52, |_| assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0)));
    assert!(SshHome::masters().len() <= masters + 2, "{} of {masters}", SshHome::masters().len());
}

#[test]
fn one_session_after_the_other_needs_one() {
    let host = host!("bash", "MaxSessions 1");
    for _ in 0..20 {
        assert_eq!(output(&host.place(), &Command::new("true")).exit, Exit::Code(0));
    }
    // A session may still be going over there when the next one comes.
    assert!(SshHome::masters().len() <= 4, "{}", SshHome::masters().len());
}

#[test]
fn a_stale_socket_is_replaced() {
    let host = host!("sh");
    let place = host.place();
    assert_eq!(says(&place, &Command::new("echo").arg("a")), "a\n");
    for signal in ["KILL", "TERM"] {
        let masters = SshHome::masters();
        assert_eq!(masters.len(), 1);
        kill(masters[0], signal);
        wait_until(DEADLINE, "its end", || SshHome::masters().is_empty());
        assert_eq!(says(&place, &Command::new("echo").arg("b")), "b\n");
    }
    // One that the user ends by its own means.
    let exit = StdCommand::new(std::env::var_os("THITHER_SSH").unwrap())
        .arg("-S")
        .arg(socket())
        .args(["-O", "exit", "thither-test"])
        .output()
        .unwrap();
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(says(&place, &Command::new("echo").arg("c")), "c\n");
}

fn kill(pid: u32, signal: &str) {
    let status = StdCommand::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// What listens in the master's place answers with this.
#[track_caller]
fn squatted(
    place: &thither_remote::Ssh,
    path: &Path,
    answer: &'static [u8],
) -> Result<Exit, Error> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    let place = place.clone();
    let accepting = listener.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        while let Ok((mut stream, _)) = accepting.accept() {
            let _ = stream.write_all(answer);
        }
    });
    let ended = within_deadline("a squatted socket", move || {
        place.spawn(&null(Command::new("true"))).and_then(|mut process| process.wait())
    });
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    thread.join().unwrap();
    ended
}

#[test]
fn what_is_no_master() {
    let host = host!("sh");
    let place = host.place();
    assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0));
    let address = format!("ssh:{}@thither-test", host.user);
    let path = socket();
    let wrong = |answer| told(&squatted(&place, &path, answer).unwrap_err());
    let expected = format!("cannot enter `{address}`: it is no control master; exit code 125");
    assert_eq!(wrong(b"\0\0\0\x08\0\0\0\x02\0\0\0\x04"), expected);
    let garbage = format!(
        "cannot enter `{address}`: the control master says what nobody understands; exit code 125"
    );
    assert_eq!(wrong(b"HTTP/1.1 200 OK\r\n\r\n"), garbage);
    // Of another version: the host is reached without a master.
    assert_eq!(squatted(&place, &path, b"\0\0\0\x08\0\0\0\x01\0\0\0\x05").unwrap(), Exit::Code(0));
    // One that says nothing at all is as one that has gone.
    assert_eq!(squatted(&place, &path, b"").unwrap(), Exit::Code(0));
}

#[test]
fn a_master_that_is_stopped_is_said() {
    let host = host!("sh");
    let place = host.place();
    assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0));
    let master = SshHome::masters()[0];
    kill(master, "STOP");
    let text = told(&error(&place, &null(Command::new("true"))));
    kill(master, "CONT");
    let address = format!("ssh:{}@thither-test", host.user);
    assert_eq!(
        text,
        format!("cannot enter `{address}`: the control master does not answer; exit code 125")
    );
    assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0));
}

#[test]
fn the_lock_of_a_dead_one_holds_nobody() {
    let host = host!("sh");
    let place = host.place();
    let mut child = StdCommand::new("true").stdin(Stdio::null()).spawn().unwrap();
    child.wait().unwrap();
    assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0));
    let lock = socket().with_extension("lock");
    assert!(lock.exists());
    kill(SshHome::masters()[0], "KILL");
    // flock(1) takes another kind of lock, which says nothing about ours.
    let mut other = StdCommand::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo x; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    crate::common::line(other.stdout.as_ref().unwrap());
    assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0));
    drop(other.stdin.take());
    other.wait().unwrap();
}

/// A server that accepts and says nothing, and whether somebody has connected.
fn silent() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn a_start_is_given_up() {
    let host = host!("sh");
    let (listener, port) = silent();
    let (cancelled, cancel) = std::io::pipe().unwrap();
    let place = host.place().port(port);
    let mut command = null(Command::new("true"));
    command.cancel = Some(Arc::new(cancelled.into()));
    let waiting = std::thread::spawn(move || place.spawn(&command).map(drop));
    let _connection = listener.accept().unwrap();
    drop(cancel);
    let ended = within_deadline("a start that was given up", move || waiting.join().unwrap());
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    // `own_ssh!` sees to it that no ssh is left.
}

/// The master is everybody's, and lives on when one of its clients goes in the middle of a start.
#[test]
fn a_start_that_is_given_up_harms_nobody() {
    let host = host!("sh");
    let place = host.place();
    assert_eq!(output(&place, &Command::new("true")).exit, Exit::Code(0));
    let masters = SshHome::masters();
    let mut other = started(&place, sh("echo $$; exec sleep 1000"));
    for _ in 0..50 {
        let (cancelled, cancel) = std::io::pipe().unwrap();
        drop(cancel);
        let mut command = null(Command::new("true"));
        command.cancel = Some(Arc::new(cancelled.into()));
        // It may be faster.
        let ended = place.spawn(&command).map(drop);
        assert!(matches!(ended, Ok(()) | Err(Error::Cancelled { .. })), "{ended:?}");
    }
    assert_eq!(SshHome::masters(), masters);
    other.process.signal(15).unwrap();
    assert_eq!(wait(other.process).unwrap(), Exit::Code(143));
}

#[test]
fn who_waits_for_anothers_start_gives_up_too() {
    let host = host!("sh");
    let (listener, port) = silent();
    let place = host.place().port(port);
    let start = || {
        let (cancelled, cancel) = std::io::pipe().unwrap();
        let mut command = null(Command::new("true"));
        command.cancel = Some(Arc::new(cancelled.into()));
        let place = place.clone();
        (cancel, std::thread::spawn(move || place.spawn(&command).map(drop)))
    };
    let (first_cancel, first) = start();
    let _connection = listener.accept().unwrap();
    let (second_cancel, second) = start();
    drop(second_cancel);
    let ended = within_deadline("the second", move || second.join().unwrap());
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    drop(first_cancel);
    let ended = within_deadline("the first", move || first.join().unwrap());
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
}

#[test]
fn it_goes_when_nobody_uses_it() {
    let host = host!("sh");
    assert_eq!(output(&host.place(), &Command::new("true")).exit, Exit::Code(0));
    let master = SshHome::masters()[0];
    // It holds none of our descriptors, nor our terminal, nor our folder.
    let open = testkit::descriptors(master);
    for (number, target) in &open {
        assert!(*number > 2 || target.as_os_str() == "/dev/null", "{open:?}");
    }
    assert_eq!(thither_remote::ssh::PERSIST.as_secs(), 600);
}

#[test]
fn a_new_configuration_is_another_way() {
    let host = host!("sh");
    let place = thither_remote::Ssh::new("thither-test");
    let who = |lines: &str| {
        let config = std::fs::read_to_string(host.sshd.ssh_config()).unwrap();
        let home = SshHome::folder().join(".ssh");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("config"), format!("{lines}\n{config}")).unwrap();
        host.configure(lines);
        says(&place, &Command::new("id").arg("-un"))
    };
    let other = match testkit::ssh_user("dash") {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    assert_eq!(who(&format!("User {other}")), format!("{other}\n"));
    assert_eq!(who(&format!("User {}", host.user)), format!("{}\n", host.user));
}
