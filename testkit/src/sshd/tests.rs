use std::process::{Command, Output};

use super::*;
use crate::{Marker, skip};

fn ssh(sshd: &Sshd, user: &str, command: &str) -> Output {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(sshd.ssh_config()).args(["-o", "BatchMode=yes", "-l", user]);
    ssh.args(["thither-test", command]).stdin(Stdio::null()).output().expect("ssh")
}

#[test]
fn it_logs_users_in_and_leaves_nothing() {
    let (sshd, user) = match (Sshd::options("Banner /etc/hostname"), ssh_user("sh")) {
        (Ok(sshd), Ok(user)) => (sshd, user),
        (Err(reason), _) | (_, Err(reason)) => skip!("{reason}"),
    };
    let output = ssh(&sshd, &user, "echo $0 $USER $(pwd); ls -A");
    let said = String::from_utf8(output.stdout).unwrap();
    let log = sshd.log();
    assert!(said.contains(&format!(" {user} /home/{user}\n")), "{said} {log}");
    assert!(!output.stderr.is_empty(), "the banner");

    let marker = Marker::new();
    let (name, value) = marker.variable();
    let left = format!("{name}={value} setsid sleep 1000 >/dev/null 2>&1 & echo on");
    assert_eq!(ssh(&sshd, "root", &left).stdout, b"on\n", "{}", sshd.log());
    assert_eq!(marker.processes().len(), 1);
    let folder = sshd.folder.path().to_path_buf();
    let address = sshd.address();
    drop(sshd);
    marker.assert_gone();
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_password_is_good_as_long_as_its_user() {
    let user = match PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => skip!("{reason}"),
    };
    let shadow = || read(Path::new("/etc/shadow"));
    let name = user.name().to_owned();
    assert!(shadow().contains(&format!("{name}:$")));
    assert_eq!(user.password().len(), 32);
    drop(user);
    assert!(!shadow().contains(&name));
    assert!(!Path::new("/home").join(name).exists());
}
