//! Interpreters that serve themselves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use tempfile::TempDir;
use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{AGENT, Python, Result, locals};

use crate::{heard, program, quiet};

const TOKEN: &[u8] = b"0123456789abcdef";

/// A program of a user's own that serves itself.
struct Host {
    folder: TempDir,
    process: Child,
    /// What it prints after the address.
    output: BufReader<ChildStdout>,
    /// As Python shows it.
    address: String,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `arguments` are those of `serve` after the token; `address` is an expression.
fn host(address: &str, arguments: &str) -> Host {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thither_agent.py"), AGENT).unwrap();
    let code = format!(
        "import sys, threading\nsys.path.insert(0, '')\nimport thither_agent\nshared = {{'n': 1}}\n\
         def ready(address):\n    print(repr(address), flush=True)\n\
         thither_agent.serve({address}, {token}, ready=ready, {arguments})\n",
        token = "b'0123456789abcdef'",
    );
    let mut command = Command::new(program());
    command.args(["-c", &code]).current_dir(folder.path());
    let mut process =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    Host { folder, process, output, address: line.trim().into() }
}

impl Host {
    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn port(&self) -> u16 {
        let digits = |char: char| !char.is_ascii_digit();
        self.address.rsplit(digits).find(|part| part.len() > 2).unwrap().parse().unwrap()
    }

    fn unix(&self) -> Result<Python> {
        quiet().served_unix(self.socket(), TOKEN)
    }
}

#[test]
fn several_clients_with_variables_of_their_own() {
    within_deadline("clients", || {
        let host = host("'socket'", "");
        let clients = [(); 3].map(|()| host.unix().unwrap());
        for (n, client) in clients.iter().enumerate() {
            client.exec(format!("n = {n}").as_str(), ()).unwrap();
        }
        for (n, client) in clients.iter().enumerate() {
            assert_eq!(client.eval::<usize>("n", ()).unwrap(), n);
            assert_eq!(client.info().pid, host.process.id());
        }
        let mode = std::fs::metadata(host.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // One that waits keeps no other waiting.
        let waiting = clients[0].start_eval::<()>("__import__('time').sleep(1000)", ()).unwrap();
        assert_eq!(clients[1].eval::<i64>("1", ()).unwrap(), 1);
        waiting.cancel();
        for client in clients {
            drop(client);
        }
        assert_eq!(host.unix().unwrap().eval::<i64>("1", ()).unwrap(), 1);
    });
}

#[test]
fn one_namespace_over_loopback() {
    within_deadline("clients", || {
        for address in ["('127.0.0.1', 0)", "('localhost', 0)"] {
            let host = host(address, "namespace=shared");
            let client = || quiet().served_tcp(("127.0.0.1", host.port()), TOKEN).unwrap();
            let (first, second) = (client(), client());
            first.exec("n += 1", ()).unwrap();
            assert_eq!(second.eval::<i64>("n", ()).unwrap(), 2);
        }
    });
}

#[test]
fn all_that_a_client_can_do() {
    within_deadline("a client", || {
        let host = host("'socket'", "");
        let py = host.unix().unwrap();
        let double = py.callback(|(n,): (i64,)| Ok(n * 2));
        let n: i64 = py.eval("f(2)", locals! { f: double }).unwrap();
        assert_eq!(n, 4);
        let error = py.eval::<i64>("1 // 0", ()).unwrap_err();
        let text = &error.python().unwrap().traceback;
        assert!(!text.contains("thither_agent.py"), "{text}");
        let (mut reader, mut writer) = py.tunnel(&["cat"]).unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1);
        py.close().unwrap();
    });
}

#[test]
fn what_the_program_prints_is_its_own() {
    within_deadline("a line", || {
        let mut host = host("'socket'", "");
        let (start, heard) = heard();
        let py = start.served_unix(host.socket(), TOKEN).unwrap();
        py.exec("print('its own', flush=True)", ()).unwrap();
        let mut line = String::new();
        host.output.read_line(&mut line).unwrap();
        assert_eq!(line, "its own\n");
        assert_eq!(*heard.lock().unwrap(), b"");
    });
}

#[test]
fn what_a_client_prints_is_the_clients() {
    within_deadline("lines", || {
        let mut host = host("'socket'", "namespace=shared, output=True");
        let [(first, first_heard), (second, second_heard)] = [heard(), heard()];
        let first = first.served_unix(host.socket(), TOKEN).unwrap();
        let second = second.served_unix(host.socket(), TOKEN).unwrap();
        first
            .exec("print('one')\nsys = __import__('sys')\nsys.stderr.write('bad\\udc80')", ())
            .unwrap();
        // Also on another thread of the client's.
        let apart = std::thread::scope(|scope| {
            let thread = scope.spawn(|| second.exec("print('two \u{fc}')", ()));
            thread.join().unwrap()
        });
        apart.unwrap();
        // What belongs to nobody goes where it went.
        let code = "import threading\nt = threading.Thread(target=print, args=('own',), kwargs={'flush': True})\nt.start()\nt.join()";
        first.exec(code, ()).unwrap();
        let mut line = String::new();
        host.output.read_line(&mut line).unwrap();
        assert_eq!(line, "own\n");
        let text =
            |heard: &crate::Heard| String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert_eq!(text(&first_heard), "one\nbad\\udc80");
        assert_eq!(text(&second_heard), "two \u{fc}\n");
    });
}

/// What is answered to a beginning of that text: it is closed without a word.
#[track_caller]
fn check_refused(text: &'static [u8]) {
    let answer = within_deadline("a refusal", move || {
        // At once, and not when the time is over.
        let host = host("'socket'", "limit=1000");
        let mut socket = UnixStream::connect(host.socket()).unwrap();
        socket.write_all(text).unwrap();
        let mut answer = Vec::new();
        // What was not read there resets the connection.
        let _ = socket.read_to_end(&mut answer);
        assert_eq!(host.unix().unwrap().eval::<i64>("1", ()).unwrap(), 1);
        answer
    });
    assert_eq!(answer, b"", "{}", String::from_utf8_lossy(text));
}

#[test]
fn wrong_beginnings() {
    const MARKER: &str = "0123456789abcdef0123456789abcdef";
    check_refused(b"\n");
    check_refused(b"GET / HTTP/1.1\r\n\r\n");
    check_refused(&[b'x'; 5000]);
    check_refused(b"30313233343536373839616263646566 short\n");
    check_refused(b"30313233343536373839616263646566\n");
    check_refused(b"00000000000000000000000000000000 0123456789abcdef0123456789abcdef\n");
    check_refused(b" 0123456789abcdef0123456789abcdef\n");
    check_refused(b"30313233343536373839616263646566 0123456789abcdef0123456789abcdef\nmore");
    check_refused(b"\xff\xff 0123456789abcdef0123456789abcdef\n");
    let right = format!("30313233343536373839616263646566 {MARKER}\n");
    within_deadline("an answer", move || {
        let mut host = host("'socket'", "");
        let mut socket = UnixStream::connect(host.socket()).unwrap();
        socket.write_all(right.as_bytes()).unwrap();
        let mut answer = [0; 32];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, MARKER.as_bytes());
        // A frame that is none ends this connection alone, and the program is told nothing.
        socket
            .write_all(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x', b'x', b'x'])
            .unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
        assert_eq!(host.unix().unwrap().eval::<i64>("1", ()).unwrap(), 1);
        host.process.kill().unwrap();
        let mut said = String::new();
        host.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    });
}

#[test]
fn a_wrong_token() {
    within_deadline("a refusal", || {
        let host = host("('::1', 0)", "");
        let error = quiet().served_tcp(("::1", host.port()), b"another token ---").unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("no Python has answered: "), "{said}");
        let hexadecimal = "616e6f7468657220746f6b656e";
        assert!(!said.contains("another") && !said.contains(hexadecimal), "{said}");
    });
}

#[test]
fn who_takes_his_time_is_refused() {
    within_deadline("a refusal", || {
        let host = host("('127.0.0.1', 0)", "limit=0.3");
        let mut slow = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
        // A byte now and then does not make the time longer: it is closed in the midst of this line.
        let closed = (0..100_000).any(|_| {
            let written = slow.write_all(b"3");
            slow.set_read_timeout(Some(std::time::Duration::from_millis(10))).unwrap();
            let ended = matches!(slow.read(&mut [0]), Ok(0));
            written.is_err() || ended
        });
        assert!(closed);
        let mut silent = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn many_who_say_nothing() {
    within_deadline("a refusal", || {
        let host = host("'socket'", "limit=1000");
        let silent: Vec<_> = (0..64).map(|_| UnixStream::connect(host.socket()).unwrap()).collect();
        let mut late = UnixStream::connect(host.socket()).unwrap();
        assert_eq!(late.read(&mut [0]).unwrap(), 0);
        drop(silent);
        wait_until(DEADLINE, "there is room again", || host.unix().is_ok());
    });
}

/// What the program dies of when it is to serve at an address.
#[track_caller]
fn check_no_address(address: &'static str, expected: &str) {
    let said = within_deadline("an error", move || {
        let mut host = host(address, "");
        let mut said = String::new();
        host.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    });
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(last, expected, "{address}");
}

#[test]
fn only_this_machine() {
    check_no_address("('0.0.0.0', 0)", "ValueError: 0.0.0.0 is not loopback");
    check_no_address("('::', 0)", "ValueError: :: is not loopback");
    check_no_address("('192.0.2.1', 0)", "ValueError: 192.0.2.1 is not loopback");
    check_no_address("'\\0name'", "ValueError: a socket without a file is open to everybody");
    check_no_address("''", "ValueError: a socket without a file is open to everybody");
    let error = quiet().served_tcp("192.0.2.1:1", TOKEN).unwrap_err();
    assert!(error.to_string().contains("192.0.2.1 is not an address of this machine alone"));
}

#[test]
fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
    within_deadline("sockets", || {
        let host = host("'socket'", "");
        let path = host.socket();
        let again = |code: &str| {
            let mut command = Command::new(program());
            command.args(["-c", code]).current_dir(host.folder.path());
            command.output().unwrap()
        };
        let code =
            "import sys; sys.path.insert(0, ''); import thither_agent as t; t.listening('socket')";
        let said = again(code);
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(error.contains("Address already in use"), "{error}");
        // The listener of a program that is gone.
        std::fs::remove_file(&path).unwrap();
        assert!(again(code).status.success());
        assert!(path.exists() && again(code).status.success());
    });
}

#[test]
fn a_client_that_goes_leaves_nothing() {
    within_deadline("the rest", || {
        let host = host("'socket'", "");
        let watcher = host.unix().unwrap();
        watcher.exec("import os, sys, threading", ()).unwrap();
        let count = || -> (usize, usize, usize) {
            let count = "len(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task')), len(sys.meta_path)";
            watcher.eval(count, ()).unwrap()
        };
        let before = count();
        let idle = host.unix().unwrap();
        // Its second thread has nothing to do, and sleeps.
        let sleeps = "any(f.f_code.co_name == 'keep_watch' and f.f_locals['self'].is_parked \
                      for f in sys._current_frames().values())";
        wait_until(DEADLINE, "a thread sleeps", || watcher.eval(sleeps, ()).unwrap());
        idle.close().unwrap();
        for code in ["1", "__import__('time').sleep(0.05)", "f(1)", "[0 for n in iter(int, 1)]"] {
            let py = host.unix().unwrap();
            let folder = tempfile::tempdir().unwrap();
            py.add_modules(folder.path()).unwrap();
            let tunnel = py.tunnel(&["cat"]).unwrap();
            let (gone, is_gone) = channel::<()>();
            let is_gone = Mutex::new(is_gone);
            let callback = py.callback(move |(_,): (i64,)| {
                let _ = is_gone.lock().unwrap().recv();
                Ok(())
            });
            let pending = py.start_eval::<()>(code, locals! { f: callback }).unwrap();
            drop(tunnel);
            py.close().unwrap();
            drop((pending, gone));
        }
        a_worker_waits_for(host.unix().unwrap());
        wait_until(DEADLINE, "all is as before", || {
            let now = count();
            now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2
        });
        let error = watcher.exec("import a_module_that_is_missing", ()).unwrap_err();
        assert!(error.is_instance_of("ModuleNotFoundError"), "{error}");
    });
}

#[test]
fn its_end_is_seen_there_whoever_else_has_the_socket() {
    within_deadline("the end", || {
        let host = host("'socket'", "");
        let mut socket = UnixStream::connect(host.socket()).unwrap();
        let py = quiet().served(socket.try_clone().unwrap().into(), TOKEN).unwrap();
        py.close().unwrap();
        socket.set_nonblocking(false).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    });
}

/// A client goes while a second thread of its waits for it over there.
fn a_worker_waits_for(py: Python) {
    let (entered, has_entered) = channel();
    let (gone, is_gone) = channel::<()>();
    let is_gone = Mutex::new((entered, is_gone));
    let callback = py.callback(move |(_,): (i64,)| {
        let (entered, is_gone) = &*is_gone.lock().unwrap();
        let _ = entered.send(());
        let _ = is_gone.recv();
        Ok(())
    });
    let busy = py.start_eval::<()>("[0 for n in iter(int, 1)]", ()).unwrap();
    let other = py.clone();
    let calling = thread::spawn(move || other.eval::<()>("f(1)", locals! { f: callback }));
    has_entered.recv().unwrap();
    py.close().unwrap();
    drop(gone);
    assert!(busy.wait().is_err() && calling.join().unwrap().is_err());
}
