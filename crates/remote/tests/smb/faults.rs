//! Hosts and pipes that are not there, or go.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use testkit::within_deadline;
use thither_place::{Error, Place, Stream};
use thither_remote::smb::{Settings, Smb};

use crate::common::{each, end, host, refused, scripted, sh};

#[test]
fn a_pipe_that_nobody_serves() {
    let host = host!();
    expect!["cannot enter `smb:USER@127.0.0.1`: there is no pipe `thither`; hint: start the service there, or name its pipe by the option pipe=NAME"].assert_eq(&refused(&host.place()).replace(host.smbd.user(), "USER"));
}

#[test]
fn a_pipe_whose_server_refuses_us() {
    let host = host!();
    let pipe = host.smbd.pipe("thither");
    // smbd 4.17 opens it all the same, and closes it.
    std::thread::spawn(move || while pipe.deny().is_ok() {});
    expect!["connection to `smb:USER@127.0.0.1` lost"]
        .assert_eq(&refused(&host.place()).replace(host.smbd.user(), "USER"));
}

#[test]
fn a_service_that_says_nothing_and_goes() {
    let host = host!();
    each(host.smbd.pipe("thither"), drop);
    expect!["connection to `smb:USER@127.0.0.1` lost"]
        .assert_eq(&refused(&host.place()).replace(host.smbd.user(), "USER"));
}

#[test]
fn a_port_that_nobody_listens_on() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let place = Smb::from(Settings { port: Some(port), ..scripted(drop).settings().clone() });
    expect!["cannot enter `smb:ann@127.0.0.1`: nothing listens on port PORT; hint: check the port, and that an SMB server listens there"].assert_eq(&refused(&place).replace(&port.to_string(), "PORT"));
}

#[test]
fn a_host_that_has_no_address() {
    let settings =
        Settings { host: "no-such-host.invalid".into(), ..scripted(drop).settings().clone() };
    let told = refused(&Smb::from(settings));
    assert!(told.contains("there is no host `no-such-host.invalid`"), "{told}");
    assert!(told.contains("hint: check the name"), "{told}");
}

#[test]
fn a_host_that_says_nothing() {
    let place = scripted(|mut client| drop(client.read_to_end(&mut Vec::new())));
    expect!["cannot enter `smb:ann@127.0.0.1`: no answer within 2 s; hint: check that the host is up and reachable"].assert_eq(&refused(&place));
}

#[test]
fn the_wait_for_a_host_can_be_given_up() {
    let (reader, writer) = std::io::pipe().unwrap();
    let place = scripted(move |client| {
        // It is called while somebody waits for it.
        drop(writer);
        std::mem::forget(client);
    });
    let settings = Settings { timeout: Some(Duration::from_secs(600)), ..place.settings().clone() };
    let mut command = sh("true");
    command.cancel = Some(Arc::new(OwnedFd::from(reader)));
    let result = within_deadline("the end", move || Smb::from(settings).spawn(&command).map(drop));
    assert!(matches!(result, Err(Error::Cancelled { .. })), "{result:?}");
}

#[test]
fn a_server_that_is_killed_is_lost() {
    let mut host = host!().serves();
    let process = host.place().spawn(&sh("exec sleep 1000").stdin(Stream::Null)).unwrap();
    host.smbd.kill();
    let lost = format!("connection to `{}` lost", host.place().address());
    assert_eq!(end(process), lost);
}
