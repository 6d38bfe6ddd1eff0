//! A daemon behind Samba: what smbd says is played back from what a real one has said (see `live.rs` for a real one).

mod live;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use expect_test::{Expect, expect};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use testkit::{DEADLINE, USER, as_user, is_root, within_deadline};
use thither_place::wire::client::{self, Link};
use thither_place::wire::frame::hello;
use thither_place::wire::message::{Program, Spawn, Streams};
use thither_place::wire::{Kind, Request, Side};
use thither_place::{Command, Error, Exit, Place, Process, Result};
use thither_remote::daemon::Samba;
use thither_remote::daemon::samba::request::{ACCESS_DENIED, OK, reply};
use thither_remote::daemon::serve::{Serve, ServeError};
use thither_term::{Signals, WindowSize};

/// From `alice`, 1009, at `TESTHOST`.
const ALICE: &[u8] = include_bytes!("samba/user.bin");
const GUEST: &[u8] = include_bytes!("samba/guest.bin");
const ANONYMOUS: &[u8] = include_bytes!("samba/anonymous.bin");

const NOT_ROOT: &str = "only root can serve clients of Samba";

/// A daemon of this process, in a folder of its own. It ends with the process.
struct Served {
    folder: tempfile::TempDir,
    pipes: PathBuf,
}

/// Serves a pipe for these users.
fn serve(users: &[&str]) -> Served {
    serve_with(users, Serve::default())
}

fn serve_with(users: &[&str], serve: Serve) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let pipes = folder.path().join("ncalrpc/np");
    let samba = samba(&pipes, users);
    run(samba, serve);
    Served { folder, pipes }
}

fn run(samba: Samba, serve: Serve) {
    let server = Serve { samba: Some(samba), ..serve }.bind().unwrap();
    thread::spawn(move || server.run(&Signals::on([]).unwrap()));
}

fn samba(pipes: &Path, users: &[&str]) -> Samba {
    Samba::new(pipes, "THITHER", users.iter().copied().map(str::to_owned).collect()).unwrap()
}

impl Served {
    fn socket(&self) -> PathBuf {
        self.pipes.join("thither")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// As smbd for a client.
    fn client(&self, request: &[u8], expected: u32) -> OwnedFd {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = vec![0; reply(OK).len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, reply(expected));
        stream.set_read_timeout(None).unwrap();
        stream.into()
    }

    /// Somebody who sends this is cut off, and nothing is said to them.
    #[track_caller]
    fn check_unheard(&self, bytes: &[u8], sends_more: bool) {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        if !sends_more {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            read => drop(read.unwrap()),
        }
        assert_eq!(said, b"");
    }

    /// As somebody whom smbd describes like this.
    fn behind(&self, request: &[u8], expected: u32) -> Behind<'_> {
        Behind { served: self, request: request.to_vec(), expected }
    }
}

/// The place that a client of Samba's has.
struct Behind<'a> {
    served: &'a Served,
    request: Vec<u8>,
    expected: u32,
}

const LINK: Link<'_> = Link { place: "smb:", keep_alive: None };

impl Place for Behind<'_> {
    fn spawn(&self, command: &Command) -> Result<Process> {
        client::spawn(self.served.client(&self.request, self.expected), &LINK, command)
    }
}

/// A user of this machine whose name is as long as `alice`, as Debian has `games`: name and id.
fn five_letters() -> (String, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut fitting = fields.filter(|fields| fields[0].len() == 5 && fields[2] != "0");
    let found = fitting.next().expect("a user with five letters");
    (found[0].to_owned(), found[2].parse().unwrap())
}

/// What smbd would say of a user of this machine.
fn request_of(name: &str, uid: u32) -> Vec<u8> {
    let request = replace(ALICE, b"alice", name.as_bytes());
    replace(&request, &1009_u32.to_le_bytes(), &uid.to_le_bytes())
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    bytes
}

/// What a client says at first, who wants to run this and to read its output.
fn wanted(program: &str, args: &[&str]) -> Vec<u8> {
    let spawn = Request::Spawn(Spawn {
        program: Program::Named(program.into()),
        args: args.iter().map(|&arg| arg.into()).collect(),
        env_clear: false,
        env: Vec::new(),
        dir: None,
        user: None,
        streams: Streams::Separate([false, true, true]),
    });
    [hello(Side::Client), Kind::Request.frame(&spawn.encode())].concat()
}

/// An error, its causes and its hint.
fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text + &error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default()
}

#[track_caller]
fn check_refused<T>(result: Result<T>, expected: Expect) {
    expected.assert_eq(&result.map_or_else(|error| said(&error), |_| "it was not refused".into()));
}

#[test]
fn a_command_runs_as_the_client_and_not_as_root() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    let served = serve(&["root", &name]);
    let behind = served.behind(&request_of(&name, uid), OK);
    let script = "id -un; id -ru; id -G; echo $USER $LOGNAME; echo ${CARGO_MANIFEST_DIR-none}; \
                  test -r /etc/shadow || echo no shadow; exit 3";
    let here = std::process::Command::new("id").args(["-G", &name]).output().unwrap().stdout;
    let groups = String::from_utf8(here).unwrap();
    for user in [None, Some(&name)] {
        let mut command = Command::new("sh").args(["-c", script]);
        command.user = user.cloned();
        let output = behind.output(&command).unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("{name}\n{uid}\n{groups}{name} {name}\nnone\nno shadow\n")
        );
        assert_eq!((output.stderr, output.exit), (b"".to_vec(), Exit::Code(3)));
    }
    let other = Command::new("id").user("root");
    check_refused(
        behind.spawn(&other),
        expect!["cannot enter `smb:`: run as another user than that of the pipe"],
    );
}

#[test]
fn a_terminal_is_the_clients_too() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    let served = serve(&[&name]);
    let script = "id -un; stty size; test -t 0 && echo a terminal; exit 4";
    let size = WindowSize { cols: 71, rows: 23 };
    let command = Command::new("sh").args(["-c", script]).terminal(size);
    let mut process = served.behind(&request_of(&name, uid), OK).spawn(&command).unwrap();
    let terminal = fs::File::from(process.terminal.take().unwrap());
    let shown = within_deadline("the end of its output", move || {
        let mut shown = Vec::new();
        let end = (&terminal).read_to_end(&mut shown);
        (shown, end.is_ok())
    });
    let expected = format!("{name}\r\n23 71\r\na terminal\r\n").into_bytes();
    assert_eq!(shown, (expected, true));
    assert_eq!(process.wait().unwrap(), Exit::Code(4));
}

#[test]
fn who_is_not_admitted_is_told_so() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    let served = serve(&["nobody", &name]);
    let check = |request: &[u8]| {
        let behind = served.behind(request, ACCESS_DENIED);
        // Why is in the log only.
        let expected = expect![[
            r#"cannot enter `smb:`: this user may not use the pipe (its administrator names users by --samba-user)"#
        ]];
        check_refused(behind.spawn(&Command::new("id")), expected);
    };
    check(ALICE);
    check(GUEST);
    check(ANONYMOUS);
    check(&request_of(&name, uid + 1));
    check(&request_of(&name, 0));
}

#[test]
fn nothing_is_done_as_root_for_a_client() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    let served = serve(&[&name]);
    let listener = UnixListener::bind(served.pipes.join("root's")).unwrap();
    let path = served.pipes.join("root's").to_str().unwrap().as_bytes().to_vec();
    let requests = [
        Request::Unix { path },
        Request::Tcp { host: b"127.0.0.1".to_vec(), port: 1 },
        Request::Python,
        Request::Pair { token: [0; 16], name: b"me".to_vec() },
    ];
    for request in requests {
        let stream = served.client(&request_of(&name, uid), OK);
        check_refused(
            client::ask(stream, &LINK, &request),
            expect![[r#"`smb:` cannot do anything but run a command: it is behind Samba"#]],
        );
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody has connected");
}

#[test]
fn only_root_may_say_who_a_client_is() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let served = serve(&["root"]);
    for path in [served.folder.path(), served.pipes.parent().unwrap(), &served.pipes] {
        fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(served.socket(), Permissions::from_mode(0o666)).unwrap();
    // The kernel's answer is of the thread that connects.
    let stream = thread::scope(|scope| {
        let connect = || {
            let user = Uid::from_raw(USER);
            set_thread_res_uid(user, user, user).unwrap();
            UnixStream::connect(served.socket()).unwrap()
        };
        scope.spawn(connect).join().unwrap()
    });
    let refused = client::spawn(stream.into(), &LINK, &Command::new("id"));
    check_refused(refused, expect!["cannot enter `smb:`: this pipe is for Samba, which is root"]);
}

#[test]
fn what_is_no_request_is_cut_off() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    // They are cut off at once, and not when their time is over.
    let slow = Serve { greeting: DEADLINE * 3, ..Serve::default() };
    let served = serve_with(&[&name], slow);
    let request = request_of(&name, uid);
    for sends_more in [false, true] {
        served.check_unheard(&[&[0, 0, 1, 0][..], &[b'x'; 256]].concat(), sends_more);
        served.check_unheard(&replace(&request, b"NPAM", b"NPAN"), sends_more);
        // One byte more than the longest.
        served.check_unheard(&(64 * 1024 - 3_u32).to_be_bytes(), sends_more);
        served.check_unheard(&u32::MAX.to_be_bytes(), sends_more);
    }
    for cut in [0, 3, 4, 100, request.len() - 1] {
        served.check_unheard(&request[..cut], false);
    }
    let output = served.behind(&request, OK).output(&Command::new("id")).unwrap();
    assert_eq!(output.exit, Exit::Code(0), "it goes on");
}

#[test]
fn who_says_nothing_in_time_is_cut_off() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    let short = Serve { greeting: Duration::from_millis(200), ..Serve::default() };
    let served = serve_with(&[&name], short);
    let request = request_of(&name, uid);
    for cut in [0, 3, 100] {
        served.check_unheard(&request[..cut], true);
    }
    // Who it is is said, but not what it wants.
    let mut stream = UnixStream::from(served.client(&request, OK));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut welcome = Vec::new();
    stream.read_to_end(&mut welcome).unwrap();
    assert_eq!(welcome, b"\x81\0\0\0\x09thither\0\x01");
}

#[test]
fn the_last_is_said_before_the_end() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    let (name, uid) = five_letters();
    let served = serve(&[&name]);
    let request = request_of(&name, uid);
    // smbd drops what it still has when we end the stream, so the client does that: we are not heard to.
    let mut stream = UnixStream::from(served.client(&request, OK));
    stream.write_all(&wanted("true", &[])).unwrap();
    // Welcome, Started, Exited.
    let mut said = [0; 14 + 9 + 10];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(said[23..], [0x88, 0, 0, 0, 5, 0, 0, 0, 0, 0]);
    stream.set_nonblocking(true).unwrap();
    let open = stream.read(&mut [0]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn where_there_is_no_pipe_to_be_had() {
    if !is_root() {
        testkit::skip!("{NOT_ROOT}");
    }
    #[track_caller]
    fn check(pipes: &Path, expected: Expect) {
        let samba = samba(pipes, &["root"]);
        let failed = Serve { samba: Some(samba), ..Serve::default() }.bind().unwrap_err();
        let source = std::error::Error::source(&failed).map(ToString::to_string);
        let said = format!("{failed}: {}", source.unwrap_or_default());
        expected.assert_eq(&said.replace(pipes.to_str().unwrap(), "[NP]"));
    }
    let folder = tempfile::tempdir().unwrap();
    let pipes = folder.path().join("np");
    fs::create_dir(&pipes).unwrap();
    fs::set_permissions(&pipes, Permissions::from_mode(0o755)).unwrap();
    check(&pipes, expect!["cannot listen: `[NP]` is not a folder of root's with mode 0700"]);
    fs::set_permissions(&pipes, Permissions::from_mode(0o700)).unwrap();
    chown(&pipes, Some(USER), None).unwrap();
    check(&pipes, expect!["cannot listen: `[NP]` is not a folder of root's with mode 0700"]);
    chown(&pipes, Some(0), None).unwrap();
    let theirs = UnixListener::bind(pipes.join("thither")).unwrap();
    check(&pipes, expect!["cannot listen: somebody listens at `[NP]/thither` already"]);
    drop(theirs);
    // What nobody listens at any more was left behind.
    let served = Serve { samba: Some(samba(&pipes, &["root"])), ..Serve::default() }.bind();
    check(&pipes, expect!["cannot listen: somebody listens at `[NP]/thither` already"]);
    drop(served.unwrap());
    assert!(!pipes.join("thither").exists());
}

#[test]
fn only_root_can_serve_clients_of_samba() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        as_user(&mut command);
        command
    });
    let samba = samba(Path::new("/nonexistent/np"), &["root"]);
    let failed = Serve { samba: Some(samba), ..Serve::default() }.bind().unwrap_err();
    assert!(matches!(failed, ServeError::NotRoot), "{failed}");
}

#[test]
fn names_of_pipes() {
    #[track_caller]
    fn check(name: &str, users: &[&str], expected: Expect) {
        let users = users.iter().copied().map(str::to_owned).collect();
        let made = Samba::new(Path::new("/np"), name, users);
        expected.assert_eq(&made.map_or_else(|error| error.to_string(), |_| "fine".into()));
    }
    check("a-B_c.9", &["me"], expect!["fine"]);
    let long = "x".repeat(33);
    for bad in ["", ".", "..", ".x", "a/b", r"a\b", "a b", "\0", "ü", &long] {
        let made = Samba::new(Path::new("/np"), bad, vec!["me".into()]);
        assert!(made.is_err(), "{bad:?}");
    }
    check("a", &[], expect!["no user is named who may use the pipe"]);
    check("a", &[""], expect!["no user is named who may use the pipe"]);
}
