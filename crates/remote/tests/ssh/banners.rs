//! What a host says besides.

use testkit::DEADLINE;
use thither_place::{Command, Exit};

use crate::common::{host, output, prints, sh, started, wait};

#[test]
fn a_banner_is_no_output() {
    let host = host!("bash", "Banner /etc/passwd\nPrintMotd yes\nPrintLastLog yes");
    let place = host.place();
    for _ in 0..2 {
        let output = output(&place, &sh("echo out; echo err >&2; exit 3"));
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.exit, Exit::Code(3));
    }
}

/// A file in the home of a user, as long as it is there.
struct Rc(std::path::PathBuf, Vec<u8>);

impl Rc {
    fn new(user: &str, name: &str, text: &str) -> Rc {
        let path = std::path::Path::new("/home").join(user).join(name);
        let before = std::fs::read(&path).unwrap_or_default();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        Rc(path, before)
    }
}

impl Drop for Rc {
    fn drop(&mut self) {
        let _ = match self.1.is_empty() {
            true => std::fs::remove_file(&self.0),
            false => std::fs::write(&self.0, &self.1),
        };
    }
}

#[test]
fn a_shell_that_talks() {
    let host = host!("bash");
    let talk =
        "echo welcome; echo thither /bin/evil; echo to stderr >&2; trap 'echo trapped' EXIT\n";
    // Nobody else logs in as this user: it is the test's own.
    let user = match testkit::PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let shell = std::process::Command::new("chsh").args(["-s", "/bin/bash", user.name()]).status();
    assert!(shell.unwrap().success());
    let _rc = Rc::new(user.name(), ".bashrc", talk);
    let place = host.place().user(user.name());
    let output = output(&place, &sh("echo out; exit 3"));
    assert_eq!(output.exit, Exit::Code(3));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // It comes before, and nothing after: as by `ssh`.
    assert!(said.ends_with("out\n") && said.starts_with("welcome\n"), "{said}");
    let found = prints_last(&place, &Command::new("printf").arg("%s").arg("a'b\\").env("A", "1"));
    assert_eq!(found, "a'b\\");
    let mut started = started_after(&place);
    started.process.signal(15).unwrap();
    assert_eq!(wait(started.process).unwrap(), Exit::Code(143));
}

fn prints_last(place: &thither_remote::Ssh, command: &Command) -> String {
    let output = output(place, command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().last().unwrap_or_default().to_owned()
}

fn started_after(place: &thither_remote::Ssh) -> crate::common::Started {
    let command = sh("echo pid=$$; exec sleep 1000").stdin(thither_place::Stream::Null);
    let command = command.stdout(thither_place::Stream::Piped).stderr(thither_place::Stream::Null);
    let process = thither_place::Place::spawn(place, &command).unwrap();
    loop {
        let line = crate::common::line(process.stdout.as_ref().unwrap());
        if let Some(pid) = line.strip_prefix("pid=") {
            return crate::common::Started { pid: pid.parse().unwrap(), process };
        }
    }
}

#[test]
fn a_shell_that_hangs_at_its_start_is_waited_for() {
    let host = host!("bash");
    let user = match testkit::PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let gate = std::path::Path::new("/home").join(user.name()).join("gate");
    let _rc = Rc::new(
        user.name(),
        ".profile",
        &format!("while [ ! -e {} ]; do sleep 0.05; done\n", gate.display()),
    );
    let place = host.place().user(user.name());
    // A login shell alone reads it.
    assert_eq!(prints(&place, &Command::new("echo").arg("a")), b"a\n");
    let login = Command::login_shell().arg("-c").arg("echo $0").stdin(thither_place::Stream::Null);
    let waiting = std::thread::spawn(move || output(&place, &login));
    std::fs::write(&gate, "").unwrap();
    testkit::wait_until(DEADLINE, "the login shell", || waiting.is_finished());
    assert_eq!(waiting.join().unwrap().exit, Exit::Code(0));
    let _ = started;
}
