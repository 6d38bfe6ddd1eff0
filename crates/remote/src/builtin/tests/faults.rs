//! Everything that can go wrong on the way, with its words, within a time.

use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use testkit::{Proxy, within_deadline};

/// Settings for a port where something else is.
fn at(world: &World, port: u16) -> Settings {
    Settings { port: Some(port), timeout: Some(Duration::from_millis(300)), ..world.settings() }
}

#[test]
fn no_such_host() {
    let world = world!();
    let settings = Settings { host: "no-such-host.invalid".into(), ..world.settings() };
    let said = refusal(world.with(&settings));
    let start = "cannot enter `ssh:test`: there is no host `no-such-host.invalid`: ";
    assert!(said.starts_with(start) && said.ends_with(" | check the name"), "{said}");
}

#[test]
fn nothing_listens() {
    let world = world!();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(
        refusal(world.with(&at(&world, port))),
        format!(
            "cannot enter `ssh:test`: nothing listens on port {port} | check the port, and that an ssh server listens there"
        )
    );
}

#[test]
fn a_listener_that_never_answers() {
    let world = world!();
    let silent = "cannot enter `ssh:test`: no answer within 300 ms | check that the host is up and reachable";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(refusal(world.with(&at(&world, port))), silent);

    // One that says who it is, and then no more; and nothing of us stays with it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        client.write_all(b"SSH-2.0-moon\r\n").unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).map(|_| all)
    });
    assert_eq!(refusal(world.with(&at(&world, port))), silent);
    let sent = within_deadline("the end of the connection", || serving.join().unwrap().unwrap());
    assert!(sent.starts_with(b"SSH-2.0-thither_"), "{}", String::from_utf8_lossy(&sent));
}

#[test]
fn it_can_be_given_up() {
    let world = world!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = world.with(&Settings { timeout: None, ..at(&world, port) });
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let mut command = piped();
    command.cancel = Some(Arc::new(reader.into()));
    let error = within_deadline("to give up", move || {
        place.spawn(line("true"), None, &command).unwrap_err()
    });
    assert_eq!(chain(&error), "gave up on `ssh:test`");
}

#[test]
fn garbage() {
    let world = world!();
    let not_ssh =
        "cannot enter `ssh:test`: what listens on the port does not speak ssh | check the port";
    let check = |said: Vec<u8>, expected: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let _ = client.write_all(&said);
            let _ = client.read_to_end(&mut Vec::new());
        });
        let settings = Settings { timeout: Some(testkit::DEADLINE / 4), ..at(&world, port) };
        assert_eq!(refusal(world.with(&settings)), expected);
        within_deadline("the end", || serving.join().unwrap());
    };
    check(b"x".repeat(100_000), not_ssh);
    check(b"HTTP/1.1 400 Bad Request\r\n".repeat(1000), not_ssh);
    let mut packet = b"SSH-2.0-moon\r\n".to_vec();
    packet.extend([0xff; 1000]);
    check(packet, not_ssh);
    let mut packet = b"SSH-2.0-moon\r\n".to_vec();
    packet.extend([0, 0, 0, 12, 10, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    packet.extend([0; 64]);
    check(packet, not_ssh);
}

#[test]
fn a_connection_that_ends_at_once() {
    let world = world!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || drop(listener.accept().unwrap()));
    let said = refusal(world.with(&at(&world, port)));
    assert_eq!(said, "cannot enter `ssh:test`: the connection was lost");
    serving.join().unwrap();
}

#[test]
fn nothing_in_common() {
    let world = world!("Ciphers 3des-cbc");
    let said = refusal(world.place());
    assert_eq!(said, "cannot enter `ssh:test`: no common cipher; it offers 3des-cbc");
}

/// One that prints without end, and that it has begun.
fn endless(place: &Builtin) -> Process {
    let mut process = place.spawn(line("exec yes"), None, &piped()).unwrap();
    let stdout = process.stdout.take().unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(File::from(stdout));
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, "y\n");
    process.stdout = Some(stdout.into_inner().into());
    process
}

#[test]
fn a_server_that_is_killed_amid_output() {
    let world = world!();
    let place = world.place();
    let process = endless(&place);
    world.sshd.kill_sessions();
    let lost = within_deadline("the loss", move || process.wait_with_output().unwrap_err());
    assert_eq!(chain(&lost), "connection to `ssh:test` lost");
    // The next one finds the server again.
    let output = within_deadline("another connection", move || run(&place, "echo on"));
    assert_eq!(output, succeeded("on\n"));
}

#[test]
fn a_black_hole_amid_output() {
    let world = world!();
    let proxy = Proxy::tcp_to_tcp(world.sshd.address());
    world.know(proxy.address(), &world.sshd.host_key());
    let settings = Settings {
        port: Some(proxy.address().port()),
        keep_alive: Some(Duration::from_millis(300)),
        ..world.settings()
    };
    let place = world.with(&settings);
    let process = endless(&place);
    proxy.stall();
    let lost = within_deadline("the loss", move || process.wait_with_output().unwrap_err());
    assert_eq!(chain(&lost), "connection to `ssh:test` lost");
}

#[test]
fn an_idle_connection_into_a_black_hole_is_replaced() {
    let world = world!();
    let proxy = Proxy::tcp_to_tcp(world.sshd.address());
    let ways = Mutex::new(vec![world.sshd.address(), proxy.address()]);
    let settings = Settings { keep_alive: Some(Duration::from_millis(300)), ..world.settings() };
    let place = world.with(&settings).through(move |_| {
        let address = ways.lock().unwrap().pop().expect("no third one");
        Ok(TcpStream::connect(address).unwrap().into())
    });
    place.connect(None).unwrap();
    proxy.stall();
    let output = within_deadline("another connection", move || run(&place, "echo on"));
    assert_eq!(output, succeeded("on\n"));
}

#[test]
fn a_command_that_is_refused() {
    let world = world!("ForceCommand internal-sftp\nPermitTTY no");
    let command = Command::new("x").terminal(thither_place::WindowSize { cols: 80, rows: 24 });
    let place = world.place();
    let error = within_deadline("a refusal", move || {
        place.spawn(line("true"), None, &command).unwrap_err()
    });
    assert_eq!(chain(&error), "cannot enter `ssh:test`: it refuses to run a command");
}
