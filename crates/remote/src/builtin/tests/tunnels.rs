//! Tunnels, subsystems, and ssh through them.

use super::*;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;
use testkit::within_deadline;

/// Sends, half-closes, and reads what comes back until the end.
fn talk(stream: OwnedFd, text: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::from(stream);
    let mut said = Vec::new();
    let mut writer = stream.try_clone().unwrap();
    let text = text.to_vec();
    let sending = thread::spawn(move || {
        writer.write_all(&text).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    stream.read_to_end(&mut said).unwrap();
    sending.join().unwrap();
    said
}

/// Answers once with all that was sent, after its end.
fn echo(mut stream: impl Read + Write) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    stream.write_all(&all).unwrap();
}

#[test]
fn to_a_port_over_there() {
    let world = world!();
    let place = world.place();
    within_deadline("the echo", move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = thread::spawn(move || echo(listener.accept().unwrap().0));
        let text = vec![9; 3_000_000];
        let stream = place.open_tcp("127.0.0.1", port, None).unwrap();
        assert!(talk(stream, &text) == text);
        served.join().unwrap();
        let error = place.open_tcp("127.0.0.1", port, None).unwrap_err();
        assert_eq!(
            chain(&error),
            format!(
                "cannot enter `ssh:test`: it refuses a connection to `127.0.0.1` port {port}: nobody answers there"
            )
        );
    });
}

#[test]
fn to_a_unix_socket_over_there() {
    let world = world!();
    let place = world.place();
    within_deadline("the echo", move || {
        let folder = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let path = folder.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let served = thread::spawn(move || echo(listener.accept().unwrap().0));
        let stream = place.open_unix(path.to_str().unwrap(), None).unwrap();
        assert_eq!(talk(stream, b"text"), b"text");
        served.join().unwrap();
    });
}

#[test]
fn each_direction_ends_by_itself() {
    let world = world!();
    let place = world.place();
    within_deadline("both ends", move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut stream = UnixStream::from(place.open_tcp("127.0.0.1", port, None).unwrap());
        let mut served = listener.accept().unwrap().0;
        served.write_all(b"first").unwrap();
        served.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        stream.write_all(b"second").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        served.read_to_string(&mut said).unwrap();
        assert_eq!(said, "firstsecond");
    });
}

#[test]
fn a_tunnel_that_is_closed_here_ends_over_there() {
    let world = world!();
    let place = world.place();
    within_deadline("its end", move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = place.open_tcp("127.0.0.1", port, None).unwrap();
        let mut served = listener.accept().unwrap().0;
        drop(stream);
        assert_eq!(served.read(&mut [0; 8]).unwrap(), 0);
        // The connection is free again: only one is used in all.
        testkit::wait_until(testkit::DEADLINE, "the connection is idle", || {
            place.pool.idle().is_some()
        });
        assert_eq!(place.pool.len(), 1);
    });
}

#[test]
fn sftp_where_nothing_else_is_allowed() {
    let world = world!("ForceCommand internal-sftp");
    let place = world.place();
    within_deadline("sftp", move || {
        let stream = place.subsystem("sftp", None).unwrap();
        let mut stream = File::from(stream);
        // SSH_FXP_INIT and SSH_FXP_VERSION, draft-ietf-secsh-filexfer-02 section 4.
        stream.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).unwrap();
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[4..], [2, 0, 0, 0, 3]);
        let error = place.subsystem("moon", None).unwrap_err();
        assert_eq!(chain(&error), "cannot enter `ssh:test`: it refuses the subsystem `moon`");
    });
}

#[test]
fn ssh_beyond_ssh_and_its_loss() {
    let (outer, inner) = (world!(), world!());
    let first = outer.place();
    let (address, mut settings) = (inner.sshd.address(), inner.settings());
    settings.keep_alive = Some(Duration::from_secs(1));
    let second = Builtin::with(&settings, "ssh:beyond", &inner.here());
    let second = second.through(move |cancel| first.open_tcp("127.0.0.1", address.port(), cancel));
    let place = second.clone();
    let output = within_deadline("a command", move || {
        assert_eq!(run(&place, "echo first"), succeeded("first\n"));
        run(&place, "echo $SSH_CONNECTION")
    });
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.trim_end().ends_with(&format!("127.0.0.1 {}", address.port())), "{said}");

    let mut process = second.spawn(line("echo on; sleep 1000"), None, &piped()).unwrap();
    outer.sshd.kill_sessions();
    let lost = within_deadline("the loss", move || process.wait().unwrap_err());
    assert_eq!(chain(&lost), "connection to `ssh:beyond` lost");
    let place = second.clone();
    let output = within_deadline("another connection", move || run(&place, "echo again"));
    assert_eq!(output, succeeded("again\n"));
}
