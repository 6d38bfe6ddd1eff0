//! A script of this machine does over there as it does here.

use std::fs;
use std::thread;

use crate::common::Test;
use crate::interpreters::{Interpreter, Said, interpreters, said, tell};

/// Scripts that say the same over there, to the last byte.
const SCRIPTS: &[(&str, &[u8])] = &[
    ("exception", b"import os\ndef f(x):\n    return 1/x\n\nf(0)\n"),
    ("several lines", b"def f(*a):\n    return a[0]/a[1]\nf(1,\n  0,\n  2)\n"),
    (
        "cause",
        b"def f():\n    try:\n        {}['a']\n    except KeyError as e:\n        raise ValueError('\xc3\xa9') from e\nf()\n",
    ),
    ("context", b"try:\n    1/0\nfinally:\n    undefined_name\n"),
    ("suggestion", b"import os\nfoobar = 1\nos.getpiid if foobar else 0\n"),
    ("group", b"raise ExceptionGroup('a', [ValueError(1)])\n"),
    ("assertion", b"assert 1 == 2, 'no'\n"),
    ("in a text", b"exec('1/0')\n"),
    ("no new line", b"print(1)\n1/0"),
    ("empty", b""),
    ("indented", b"x = 1\n  y = 2\n"),
    ("syntax", b"x = 1\nif x:\n    y = = 2\n"),
    ("outside", b"def f():\n    x = 1\n\n    return 2\nreturn 5\n"),
    ("twice", b"def f(a, a):\n    pass\n"),
    ("wide characters", b"print('\xc3\xa9\xc3\xa9', = )\n"),
    ("tabs", b"if 1:\n\tx\n        y\n"),
    ("late global", b"z = 1\nglobal z\n"),
    ("syntax of a text", b"eval('1 +')\n"),
    ("code 3", b"import sys\nsys.exit(3)\n"),
    ("text", b"import sys\nsys.exit('text')\n"),
    ("list", b"raise SystemExit([1])\n"),
    ("KILL", b"import os\nos.kill(os.getpid(), 9)\n"),
    ("TERM", b"import os\nprint('x', flush=True)\nos.kill(os.getpid(), 15)\n"),
    ("INT", b"import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(600)\n"),
    ("interrupt", b"def f():\n    raise KeyboardInterrupt\nf()\n"),
    ("interrupt caught", b"try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    print(1)\n"),
    (
        "names",
        b"'text'\nimport sys\nprint(sys.argv, __file__, __name__, sorted(globals()), __doc__, __package__, __spec__, __cached__)\n",
    ),
    ("command line", b"import sys\nprint(getattr(sys, 'orig_argv', None))\n"),
    ("latin-1", b"# -*- coding: latin-1 -*-\nprint(ascii('\xe9'))\n1/0 # \xe9\n"),
    ("second line", b"#!/usr/bin/python3\n# vim: set fileencoding=cp1252 :\nprint(ascii('\x80'))\n1/0\n"),
    ("byte order mark", b"\xef\xbb\xbfprint(ascii('\xc3\xa9'))\n1/0\n"),
    ("CRLF", b"x = '''a\r\nb'''\r\nprint(repr(x))\r\ndef f():\r\n    1/0\r\nf()\r\n"),
    ("CR", b"x = 1\rprint(x)\r1/0\r"),
    (
        "own hook",
        b"import sys, traceback\ndef h(*a):\n    print(len(traceback.extract_tb(a[2])), sys.excepthook is h)\n    traceback.print_exception(*a)\nsys.excepthook = h\n1/0\n",
    ),
    ("own display", b"import traceback\ntry:\n    1/0\nexcept Exception:\n    traceback.print_exc()\n"),
    ("log", b"import logging\ntry:\n    1/0\nexcept Exception:\n    logging.exception('x')\n"),
    ("source", b"import inspect\ndef f():\n    return 3\nprint(inspect.getsource(f))\n"),
    (
        "at exit",
        b"import atexit, sys\natexit.register(lambda: print('bye', sys.excepthook is sys.__excepthook__))\n1/0\n",
    ),
    ("warning", b"import warnings\nwarnings.warn('x')\n"),
    ("warning of the compiler", b"x = '\\d'\n"),
    ("annotations", b"from __future__ import annotations\nx: foo = 1\nprint(__annotations__)\n"),
    ("future", b"def f(x: int): pass\nprint(f.__annotations__)\n"),
    ("pickle", b"import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))))\n"),
    ("import", b"import linecache, importlib\nprint(type(linecache.__spec__.loader), importlib.reload(linecache) is linecache)\n"),
    ("input", b"import sys\nprint(input())\nprint(ascii(sys.stdin.read()))\n"),
];

/// Those that differ, and since when they do not: the interpreter reads a file by other means than a text.
const UNLIKE: &[(&str, (u32, u32), &[u8])] = &[
    ("no end", (3, 10), b"x = (1,\n"),
    ("no end of a text", (3, 10), b"x = '''abc\n"),
    ("no encoding", (9, 9), b"x = 1\ny = '\xff'\n"),
    ("unknown encoding", (9, 9), b"# coding: nonesuch\nx = 1\n"),
    (
        "thread",
        (3, 13),
        b"import threading\nthreading.Thread(target=lambda: 1/0, name='T').start()\n",
    ),
];

/// What a script says here and what it says where it is not.
fn both(interpreter: &Interpreter, test: &Test, name: &str, script: &[u8]) -> [Said; 2] {
    let file = test.dir().join(name);
    fs::write(&file, script).expect("a file in a temporary folder");
    let file = file.to_str().expect("a plain path");
    let input = b"line\nmore \xff\n";
    let here = interpreter.says(test, &[file, "a", "-c", ""], input);
    // This machine, with an empty folder where the script is.
    let place = format!("chroot:/?net=host&tmpfs={}", test.dir().display());
    let python = interpreter.path.to_str().expect("a plain path");
    let args = ["python", "--python", python, &place, file, "a", "-c", ""];
    [here, said(&mut test.thither(args), input)]
}

/// The last line of an error, up to its first colon: the exception's name.
fn exception((code, _, error): &Said) -> (i32, &str) {
    let last = error.lines().last().unwrap_or_default();
    (*code, last.split(':').next().unwrap_or_default())
}

fn check_all(interpreter: &Interpreter) {
    let test = Test::new();
    for (name, script) in SCRIPTS {
        let [here, there] = both(interpreter, &test, name, script);
        assert_eq!(there, here, "{name} by {interpreter:?}");
    }
    for (name, since, script) in UNLIKE {
        let [here, there] = both(interpreter, &test, name, script);
        match interpreter.version >= *since {
            true => assert_eq!(there, here, "{name} by {interpreter:?}"),
            false => assert_eq!(exception(&there), exception(&here), "{name} by {interpreter:?}"),
        }
    }
    tell(interpreter, &format!("{} scripts", SCRIPTS.len() + UNLIKE.len()));
}

#[test]
fn as_here() {
    let interpreters = interpreters!();
    let failed = thread::scope(|scope| {
        let all = interpreters.iter().map(|one| scope.spawn(|| check_all(one)));
        let all: Vec<_> = all.collect();
        all.into_iter().filter_map(|one| one.join().err()).count()
    });
    assert_eq!(failed, 0, "of {}", interpreters.len());
}

#[test]
fn long_ones() {
    let test = Test::new();
    for interpreter in interpreters!() {
        let start = b"import sys\n";
        let filler = b"# filler\n".repeat((768 * 1024 - 100) / 9);
        let script = [&start[..], &filler, b"print(len(sys.argv))\n1/0\n"].concat();
        let [here, there] = both(interpreter, &test, "long", &script);
        assert_eq!(there, here, "{interpreter:?}");
    }
}
