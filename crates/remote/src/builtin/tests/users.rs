//! Who gets in, and to whom.

use super::*;
use crate::ssh::{HostKeys, Secret};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use testkit::{PasswordUser, within_deadline};

fn policy(world: &World, policy: HostKeys) -> Builtin {
    world.with(&Settings { host_keys: Some(policy), ..world.settings() })
}

#[track_caller]
fn gets_in(place: Builtin) {
    within_deadline("a command", move || assert_eq!(run(&place, "echo on"), succeeded("on\n")));
}

/// `ssh-ed25519 SHA256:...` of the server.
fn fingerprint(world: &World) -> String {
    let key = russh::keys::PublicKey::from_openssh(&world.sshd.host_key()).unwrap();
    known::fingerprint(&key)
}

#[test]
fn an_unknown_key() {
    let world = world!("HostKeyAlgorithms ssh-ed25519");
    fs::remove_file(world.known_hosts()).unwrap();
    let key = fingerprint(&world);
    assert_eq!(
        refusal(policy(&world, HostKeys::Reject)),
        format!(
            "cannot enter `ssh:test`: the key of `127.0.0.1` is not known: it is {key} | compare its key with what \
             its owner says, then connect once with the option missing-host-key-policy=autoadd"
        )
    );
    gets_in(policy(&world, HostKeys::Warning));
    assert!(!world.known_hosts().exists());

    gets_in(policy(&world, HostKeys::AutoAdd));
    let text = fs::read_to_string(world.known_hosts()).unwrap();
    let words: Vec<String> = world.sshd.host_key().split(' ').map(String::from).collect();
    assert_eq!(text, format!("[127.0.0.1]:{} {} {}\n", world.sshd.port(), words[0], words[1]));
    assert_eq!(fs::metadata(world.known_hosts()).unwrap().permissions().mode() & 0o777, 0o600);
    gets_in(policy(&world, HostKeys::Reject));
}

#[test]
fn a_changed_key() {
    let (world, other) = (world!("HostKeyAlgorithms ssh-ed25519"), world!());
    world.know(world.sshd.address(), &other.sshd.host_key());
    let before = fs::read(world.known_hosts()).unwrap();
    for kind in [HostKeys::Reject, HostKeys::AutoAdd] {
        assert_eq!(
            refusal(policy(&world, kind)),
            format!(
                "cannot enter `ssh:test`: the key of `127.0.0.1` has changed: it is {}, and not that of `{}`, line 1 | \
                 somebody may be listening in; if the new key is right, forget the old one with `ssh-keygen -R 127.0.0.1`",
                fingerprint(&world),
                world.known_hosts().display()
            )
        );
    }
    gets_in(policy(&world, HostKeys::Warning));
    assert_eq!(fs::read(world.known_hosts()).unwrap(), before);
}

#[test]
fn the_kind_of_key_that_is_known_is_asked_for() {
    let world = world!();
    for key in [world.sshd.host_key_ecdsa(), world.sshd.host_key()] {
        world.know(world.sshd.address(), &key);
        gets_in(policy(&world, HostKeys::Reject));
    }
}

/// Settings without anything to show.
fn bare(world: &World) -> Settings {
    Settings { identity: None, ..world.settings() }
}

#[test]
fn the_default_key() {
    let world = world!();
    fs::copy(world.sshd.identity(), world.ssh().join("id_ed25519")).unwrap();
    gets_in(world.with(&bare(&world)));
}

#[test]
fn the_user_here_is_the_default() {
    let world = world!();
    let settings = Settings { user: None, ..world.settings() };
    let here = Here { user: Some(world.user.clone()), ..world.here() };
    gets_in(Builtin::with(&settings, "ssh:test", &here));
}

#[test]
fn what_is_this_users_here() {
    let here = Here::of_process();
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    assert_eq!(here.user.unwrap(), String::from_utf8(output.stdout).unwrap().trim_end());
    assert!(here.home.unwrap().is_absolute());
    let settings = Settings { host: "web".into(), ..Settings::default() };
    let place = Builtin::new(&settings, "ssh:web");
    assert_eq!(place.target.port, 22);
    assert_eq!(place.target.keep_alive, Some(KEEP_ALIVE));
    assert!(place.target.known_hosts[0].ends_with(".ssh/known_hosts"));
    assert_eq!(place.target.known_hosts[1], std::path::Path::new("/etc/ssh/ssh_known_hosts"));
}

/// A new key, with a passphrase if it is not empty.
fn keygen(path: &std::path::Path, kind: &str, passphrase: &str) {
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path);
    assert!(keygen.status().unwrap().success());
}

#[test]
fn what_was_tried_is_said() {
    let world = world!();
    let nothing = "cannot enter `ssh:test`: permission denied for the user";
    let hint = "name a key with the option identity=FILE, or add one to the agent with `ssh-add`";
    let check = |settings: &Settings, tried: &str| {
        let expected =
            format!("{nothing} `{}`: {tried}; it accepts publickey | {hint}", world.user);
        assert_eq!(refusal(world.with(settings)), expected);
    };
    check(&bare(&world), "no key and no password to show");
    let folder = world.ssh();
    keygen(&folder.join("id_ed25519"), "ed25519", "secret");
    keygen(&folder.join("id_rsa"), "rsa", "");
    let folder = folder.display();
    let tried = format!(
        "key `{folder}/id_ed25519` (which has a passphrase: add it to the agent); key `{folder}/id_rsa`"
    );
    check(&bare(&world), &tried);
    let settings = Settings { identity: Some("/no/such".into()), ..bare(&world) };
    check(&settings, &format!("key `/no/such` (which is not there); {tried}"));
}

/// An agent with one key.
struct Agent {
    child: Child,
    folder: TempDir,
}

impl Agent {
    fn with(key: &std::path::Path) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("sock");
        let mut agent = std::process::Command::new("ssh-agent");
        let child = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        testkit::wait_until(testkit::DEADLINE, "the agent", || socket.exists());
        let mut add = std::process::Command::new("ssh-add");
        add.arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket);
        assert!(add.status().unwrap().success());
        Agent { child, folder }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_agent() {
    let world = world!();
    let place = |agent: &Agent| {
        let here = Here { agent: Some(agent.folder.path().join("sock")), ..world.here() };
        Builtin::with(&bare(&world), "ssh:test", &here)
    };
    gets_in(place(&Agent::with(&world.sshd.identity())));

    let other = world.ssh().join("other");
    keygen(&other, "rsa", "");
    let agent = Agent::with(&other);
    let said = refusal(place(&agent));
    assert!(said.contains(": 1 key of the agent; it accepts publickey | "), "{said}");
    fs::remove_file(agent.folder.path().join("sock")).unwrap();
    let said = refusal(place(&agent));
    assert!(said.contains(": the agent (which does not answer); it accepts"), "{said}");
}

#[test]
fn an_rsa_key() {
    let world = world!();
    let key = world.ssh().join("id_rsa");
    keygen(&key, "rsa", "");
    let authorized = world.sshd.identity().with_file_name("authorized_keys");
    fs::copy(key.with_extension("pub"), authorized).unwrap();
    gets_in(world.with(&bare(&world)));
}

fn password(world: &World, user: &PasswordUser, password: &str) -> Settings {
    Settings {
        user: Some(user.name().into()),
        password: Some(Secret::new(password)),
        ..bare(world)
    }
}

#[test]
fn a_password() {
    let (world, user) = match (World::new("PasswordAuthentication yes"), PasswordUser::new()) {
        (Ok(world), Ok(user)) => (world, user),
        (Err(reason), _) | (_, Err(reason)) => testkit::skip!("{reason}"),
    };
    gets_in(world.with(&password(&world, &user, user.password())));
    let said = refusal(world.with(&password(&world, &user, "wrong-wrong")));
    assert!(
        said.contains(&format!(
            "permission denied for the user `{}`: the password; it accepts publickey, password |",
            user.name()
        )),
        "{said}"
    );
    assert!(!said.contains("wrong-wrong"));
}

#[test]
fn a_password_that_is_asked_for() {
    let options = "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no";
    let (world, user) = match (World::new(options), PasswordUser::new()) {
        (Ok(world), Ok(user)) => (world, user),
        (Err(reason), _) | (_, Err(reason)) => testkit::skip!("{reason}"),
    };
    gets_in(world.with(&password(&world, &user, user.password())));
    let said = refusal(world.with(&password(&world, &user, "wrong-wrong")));
    assert!(said.contains("the password (keyboard-interactive); it accepts "), "{said}");
}

#[test]
fn a_key_and_a_password() {
    let options = "PasswordAuthentication yes\nAuthenticationMethods publickey,password";
    let (world, user) = match (World::new(options), PasswordUser::new()) {
        (Ok(world), Ok(user)) => (world, user),
        (Err(reason), _) | (_, Err(reason)) => testkit::skip!("{reason}"),
    };
    let both = Settings {
        identity: Some(world.sshd.identity()),
        ..password(&world, &user, user.password())
    };
    gets_in(world.with(&both));
    let said = refusal(world.with(&Settings { password: None, ..both }));
    assert!(said.contains("id` (accepted, but not enough); it accepts password | "), "{said}");
}
