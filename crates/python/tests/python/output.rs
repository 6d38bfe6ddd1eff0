//! What is printed over there, by whom ever, arrives here: in order, and before the reply.

use std::sync::{Arc, Mutex};

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Output, Python, Start, Stream, locals};

use crate::{assert_alive, program};

pub(crate) type Seen = Arc<Mutex<Vec<(Stream, Vec<u8>)>>>;

/// An interpreter and what it prints.
pub(crate) fn listened() -> (Python, Seen) {
    let seen = Seen::default();
    (listening(&seen).local(program()).unwrap(), seen)
}

pub(crate) fn listening(seen: &Seen) -> Start {
    let kept = Arc::clone(seen);
    let mut start = Start::default();
    start.output = Output::Function(Box::new(move |stream, bytes| {
        let mut kept = kept.lock().unwrap();
        match kept.last_mut() {
            Some((last, text)) if *last == stream => text.extend_from_slice(bytes),
            _ => kept.push((stream, bytes.into())),
        }
    }));
    start
}

/// What was seen since the last look, by stream: `>` and `!`.
pub(crate) fn taken(seen: &Seen) -> String {
    let taken = std::mem::take(&mut *seen.lock().unwrap());
    let marked = taken.into_iter().map(|(stream, text)| {
        let mark = if stream == Stream::Stderr { '!' } else { '>' };
        format!("{mark}{}", String::from_utf8(text).unwrap())
    });
    marked.collect()
}

#[test]
fn in_order_and_before_the_reply() {
    #[track_caller]
    fn check((py, seen): &(Python, Seen), code: &str, expected: &str) {
        py.exec(code, ()).unwrap();
        assert_eq!(taken(seen), expected, "{code}");
    }
    within_deadline("output", || {
        let it = listened();
        it.0.exec(
            "import os, sys, subprocess, ctypes\nlibc = ctypes.CDLL(None)\n\
            def c(text): libc.puts(text); libc.fflush(None)",
            (),
        )
        .unwrap();
        check(&it, "print('a')", ">a\n");
        check(&it, "print('no end', end='')", ">no end");
        check(&it, "print('é€😀')", ">é€😀\n");
        check(&it, "print('a'); print('b', file=sys.stderr); print('c')", ">a\n!b\n>c\n");
        check(&it, "print('a', end=''); print('b', file=sys.stderr)", ">a!b\n");
        check(&it, "print('a'); os.write(1, b'b'); print('c')", ">a\nbc\n");
        check(&it, "print('a'); os.system('echo b'); print('c')", ">a\nb\nc\n");
        check(&it, "c(b'a'); print('b'); c(b'c')", ">a\nb\nc\n");
        check(&it, "subprocess.check_call(['sh', '-c', 'echo a; echo b >&2'])", ">a\n!b\n");
        check(&it, "os.write(2, b'a')", "!a");
        check(&it, "sys.stdout.buffer.write(b'a'); sys.stdout.write('b')", ">ab");
        check(&it, "print('x' * 200000)", &format!(">{}\n", "x".repeat(200_000)));
        check(
            &it,
            "os.system('head -c 300000 /dev/zero | tr \"\\\\0\" y')",
            &format!(">{}", "y".repeat(300_000)),
        );
        check(&it, "sys.__stdout__.write('a'); sys.stderr.write('\\udc80')", ">a!\\udc80");
        check(
            &it,
            "import warnings; warnings.warn_explicit('w', UserWarning, 'f', 1)",
            "!f:1: UserWarning: w\n",
        );
        // An error's own prints, too.
        assert!(it.0.exec("print('a'); 1 // 0", ()).is_err());
        assert_eq!(taken(&it.1), ">a\n");
        // In a callback: what was printed before it is there when it is called.
        let seen = Arc::clone(&it.1);
        let f = it.0.callback(move |(): ()| Ok(taken(&seen)));
        it.0.exec("print('a', end=''); got = f()", locals! { f: &f }).unwrap();
        let got: String = it.0.eval("(print('a', end=''), f())[1]", locals! { f: &f }).unwrap();
        assert_eq!(got, ">a");
    });
}

#[test]
fn from_threads_and_children_that_go_on() {
    within_deadline("output", || {
        let (py, seen) = listened();
        py.exec("import threading\nthreading.Timer(.05, print, ('later',)).start()", ()).unwrap();
        wait_until(DEADLINE, "later", || {
            *seen.lock().unwrap() == [(Stream::Stdout, b"later\n".to_vec())]
        });
        taken(&seen);
        py.exec("import subprocess\nchild = subprocess.Popen(['sh', '-c', 'read x; echo child $x; read y'], stdin=-1)", ()).unwrap();
        assert_eq!(taken(&seen), "");
        py.exec("child.stdin.write(b'1\\n'); child.stdin.flush()", ()).unwrap();
        wait_until(DEADLINE, "child", || {
            *seen.lock().unwrap() == [(Stream::Stdout, b"child 1\n".to_vec())]
        });
        py.exec("child.stdin.close(); child.wait()", ()).unwrap();
        // Many threads print whole lines.
        taken(&seen);
        py.exec(
            "def go(n):\n  for _ in range(100): print(str(n) * 50)\n\
            all = [threading.Thread(target=go, args=(n,)) for n in range(4)]\n\
            [t.start() for t in all]; [t.join() for t in all]",
            (),
        )
        .unwrap();
        let text = taken(&seen);
        let lines: Vec<&str> = text[1..].lines().collect();
        assert_eq!(lines.iter().map(|line| line.len()).sum::<usize>(), 4 * 100 * 50);
    });
}

#[test]
fn print_or_a_child_corrupts_the_stream() {
    within_deadline("output", || {
        let (py, seen) = listened();
        // Descriptors 0, 1 and 2, and what looks for them.
        py.exec("import os, sys", ()).unwrap();
        assert_eq!(py.eval::<String>("os.popen('echo a; cat').read()", ()).unwrap(), "a\n");
        assert!(crate::raised(py.eval::<String>("input()", ())).is_instance_of("EOFError"));
        assert_eq!(py.eval::<String>("sys.stdin.read()", ()).unwrap(), "");
        assert_eq!(
            py.eval::<(i64, i64)>("(sys.stdout.fileno(), sys.stderr.fileno())", ()).unwrap(),
            (1, 2)
        );
        assert!(!py.eval::<bool>("sys.stdout.isatty() or os.isatty(1)", ()).unwrap());
        taken(&seen);
        // A child that inherits everything finds no channel.
        let own = "[o for o in __import__('gc').get_objects() if type(o).__name__ == 'Agent'][0]";
        let own = format!(
            "(lambda a: [os.readlink('/proc/self/fd/%d' % fd) for fd in (a.source, a.sink)])({own})"
        );
        let own: Vec<String> = py.eval(own, ()).unwrap();
        let fds = "__import__('subprocess').check_output(['ls', '-l', '/proc/self/fd'], close_fds=False).decode()";
        let fds: String = py.eval(fds, ()).unwrap();
        assert!(
            fds.contains(" 1 -> ")
                && own.iter().all(|own| own.starts_with("pipe:") && !fds.contains(own)),
            "{fds}"
        );
        // All of them closed.
        py.exec("os.close(0); os.close(1); os.close(2)", ()).unwrap();
        assert_alive(&py);
        py.exec("print('still')", ()).unwrap();
        assert_eq!(taken(&seen), ">still\n");
        py.exec("sys.stdout.close()", ()).unwrap();
        assert_alive(&py);
    });
}

/// Keeps what is logged on its thread.
struct Log(Mutex<Vec<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "thither_python::remote"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn logs_of_the_other_side() {
    within_deadline("logs", || {
        let mut start = crate::quiet();
        start.log = true;
        let py = start.local(program()).unwrap();
        let log = Arc::new(Log(Mutex::default()));
        tracing::subscriber::with_default(Arc::clone(&log), || {
            let joined: String = py.get("os.path.join").unwrap().call1(("a", "b")).unwrap();
            assert_eq!(joined, "a/b");
        });
        let log = std::mem::take(&mut *log.0.lock().unwrap());
        assert!(log.iter().any(|line| line.contains("call of os.path.join")), "{log:?}");
    });
}
