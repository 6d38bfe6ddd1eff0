//! The code in docs/from-pushy.md and in README.md's chapter on Python, and what they say of copies and proxies.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use testkit::within_deadline;
use thither::python::{self, AGENT, Callback, FsString, Object, Python, Start, Value};
use thither::{Command, PlaceExt, locals};

use crate::needs_python;

type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[track_caller]
fn check(snippet: fn() -> Result) {
    let run = move || snippet().unwrap_or_else(|error| panic!("{error:?}"));
    within_deadline("a snippet", run);
}

#[test]
fn side_by_side() {
    needs_python!();
    check(|| {
        let py = thither::connect("local:")?.python()?;
        let os = py.import("os")?;
        let pid: u32 = os.call_method0("getpid")?;
        let sum: i64 = py.eval("a + b", locals! { a: 1, b: 2 })?;
        let mut names = locals! {};
        py.exec("def greet(name): return 'Hello, ' + name", &mut names)?;
        let greeting: String = names.get::<Object>("greet")?.call1(("you",))?;
        py.close()?;

        assert_ne!(pid, std::process::id());
        assert_eq!((sum, greeting.as_str()), (3, "Hello, you"));
        Ok(())
    });
}

#[test]
fn readme() {
    needs_python!();
    check(|| {
        let place = "local:";
        let py = thither::connect(place)?.python()?;
        let os = py.import("os")?;
        let names: Vec<String> = os.call_method1("listdir", ("/",))?; // a copy
        let list: Object = py.eval("[3, 1]", ())?; // it stays over there
        list.call_method1::<()>("append", (names.len(),))?;
        let twice = py.callback(|(n,): (i64,)| Ok(n * 2)); // called from over there
        let doubled: Vec<i64> = py.eval("[f(n) for n in l]", locals! { f: &twice, l: &list })?;

        assert_eq!(doubled, [6, 2, 2 * names.len() as i64]);
        Ok(())
    });
}

#[test]
fn settings() {
    needs_python!();
    check(|| {
        let place = thither::connect("local:")?;
        let mut start = Start::default();
        start.gc = false;
        start.log = true;
        let py = place.python_with(Command::new, &["python3"], start)?;

        assert_eq!(py.eval::<i64>("1 + 2", ())?, 3);
        Ok(())
    });
}

#[test]
fn code_and_names() {
    needs_python!();
    check(|| {
        let py = thither::connect("local:")?.python()?;
        let code = py.compile("1 + 2", "<sum>", "eval")?;
        let three: i64 = py.eval(&code, ())?;

        let globals: Object = py.eval("{'a': 1}", ())?;
        py.exec("b = a + 1", &globals)?;
        let b: i64 = globals.get_item("b")?;

        let locals: Object = py.eval("{'a': 10}", ())?;
        py.get("exec")?.call1::<()>(("c = a + b", &globals, &locals))?;
        let c: i64 = locals.get_item("c")?;

        assert_eq!((three, b, c), (3, 2, 12));
        assert!(!globals.contains("c")?);
        // What statements bind in the session lasts.
        py.exec("d = 1", ())?;
        assert_eq!(py.eval::<i64>("d", ())?, 1);
        Ok(())
    });
}

#[test]
fn walk() {
    needs_python!();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("a file");
    let home = folder.path().to_str().expect("text").to_owned();
    within_deadline("a walk", move || -> Result {
        let py = thither::connect("local:")?.python()?;
        let mut found = Vec::new();
        let walk: Object = py.get("os.walk")?.call1((home,))?;
        for step in walk.iter()? {
            let (root, folders, files): (FsString, Vec<FsString>, Vec<FsString>) = step?;
            found.push((root, folders, files));
        }
        let file = vec![FsString::from("file")];
        assert_eq!(found, [(FsString::from(folder.path()), vec![], file)]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn exceptions() {
    needs_python!();
    check(|| {
        let py = thither::connect("local:")?.python()?;
        let mut shown = String::new();
        match py.get("open")?.call1::<Object>(("/nope",)) {
            Err(python::Error::Python(error)) if error.is_instance_of("OSError") => {
                shown = format!("{}: {}\n{}", error.kind, error.message, error.traceback);
            }
            other => drop(other?),
        }

        assert!(shown.starts_with("FileNotFoundError: [Errno 2]"), "{shown}");
        assert!(
            shown.ends_with("\nFileNotFoundError: [Errno 2] No such file or directory: '/nope'\n")
        );
        let missing = py.import("nonesuch").unwrap_err();
        assert!(missing.is_instance_of("ImportError"), "{missing}");
        // The interpreter goes on.
        let exit = py.get("sys.exit")?.call1::<()>((3,)).unwrap_err();
        assert!(exit.is_instance_of("SystemExit"), "{exit}");
        assert_eq!(py.eval::<i64>("1", ())?, 1);
        Ok(())
    });
}

#[test]
fn a_transport_of_ones_own() {
    needs_python!();
    check(|| {
        let mut child = std::process::Command::new("python3")
            .args(python::arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let source = child.stdout.take().ok_or("no pipe")?;
        let sink = child.stdin.take().ok_or("no pipe")?;
        let mut start = Start::default();
        start.host = Box::new(child); // says how it ended, and puts it away
        let py = start.over(source.into(), sink.into())?;

        assert_eq!(py.eval::<i64>("1 + 2", ())?, 3);
        py.close()?;
        Ok(())
    });
}

/// As docs/from-pushy.md has it, but the secret comes by standard input, and it says when it is ready.
const PROGRAM: &str = "\
import sys
sys.path.insert(0, sys.argv[1])
import thither_agent
token = sys.stdin.buffer.read()
state = {'requests': 7}
thither_agent.serve(sys.argv[1] + '/app.sock', token, namespace={'state': state},
                    ready=lambda address: print(address, flush=True))
";

#[test]
fn served() {
    needs_python!();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("thither_agent.py"), AGENT).expect("the agent");
    let mut program = std::process::Command::new("python3")
        .args(["-c".as_ref(), PROGRAM.as_ref(), folder.path().as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    let token = b"sixteen bytes or more";
    std::io::Write::write_all(&mut program.stdin.take().expect("a pipe"), token)
        .expect("its input");
    let mut line = String::new();
    BufReader::new(program.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("its output");
    let socket = folder.path().join("app.sock");
    assert_eq!(line.trim_end(), socket.to_str().expect("text"));
    let result = within_deadline("served", move || -> Result {
        let py = Start::default().served_unix(&socket, token)?;
        let requests: i64 = py.eval("state['requests']", ())?;

        assert_eq!(requests, 7);
        Ok(())
    });
    program.kill().expect("it runs");
    program.wait().expect("it ends");
    result.unwrap();
}

/// The text of a value that is asked for as a copy, or of the error.
fn copied(py: &Python, source: &str) -> String {
    match py.eval::<Value>(source, ()) {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            let causes =
                std::iter::successors(std::error::Error::source(&error), |error| error.source());
            causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
        }
    }
}

#[test]
fn copies_and_proxies() {
    needs_python!();
    check(|| {
        let py = thither::connect("local:")?.python()?;
        py.exec(
            "import collections, datetime, enum\nP = collections.namedtuple('P', 'x')\n\
                 class E(enum.IntEnum):\n  A = 1\n",
            (),
        )?;
        for (source, expected) in [
            ("P(1)", "Tuple([Int(1)])"),
            ("E.A", "Int(1)"),
            ("bytearray(b'x')", "Bytes([120])"),
            ("range(2)", "List([Int(0), Int(1)])"),
            ("{}.keys()", "List([])"),
            ("{1}", "Set([Int(1)])"),
            ("collections.OrderedDict(a=1)", "Dict([(Str(\"a\"), Int(1))])"),
        ] {
            assert_eq!(copied(&py, source), expected, "{source}");
        }
        for source in ["datetime.date(1, 1, 1)", "slice(1, 2)", "open", "(1, open)", "lambda: 1"] {
            let text = copied(&py, source);
            assert!(text.starts_with("cannot read a value from Python: "), "{source}: {text}");
        }
        // A list of this side is a copy over there; an object goes home as itself, and so does a function of this side.
        let list = vec![1];
        py.eval::<()>("l.append(2)", locals! { l: &list })?;
        assert_eq!(list, [1]);
        let there: Object = py.eval("[1]", ())?;
        py.eval::<()>("l.append(2)", locals! { l: &there })?;
        assert_eq!(there.extract::<Vec<i64>>()?, [1, 2]);
        py.exec("kept = []", ())?;
        let kept: Object = py.eval("kept", ())?;
        assert!(py.eval::<bool>("l is kept", locals! { l: &kept })?);
        let function = py.callback(|(n,): (i64,)| Ok(n));
        assert!(py.eval::<Callback>("f", locals! { f: &function }).is_ok());
        // Inside of what is copied, what can be copied is.
        let (open, number): (Object, i64) = py.eval("(open, 2)", ())?;
        assert!(open.is(&py.get("open")?)? && number == 2);
        assert!(py.eval::<Vec<Object>>("[[1]]", ()).is_err());
        let lists: Object = py.eval("[[1]]", ())?;
        assert_eq!(lists.get_item::<Object>(0)?.len()?, 1);
        assert_eq!(py.eval::<BTreeMap<String, i64>>("{'a': 1}", ())?["a"], 1);
        // Keyword arguments are for the interpreter's own functions.
        let wrong = py.eval::<i64>("f(n=1)", locals! { f: &function }).unwrap_err();
        assert!(wrong.is_instance_of("TypeError"), "{wrong}");
        Ok(())
    });
}

#[test]
fn operators() {
    needs_python!();
    check(|| {
        let py = thither::connect("local:")?.python()?;
        let seven: Object = py.eval("7", ())?;
        assert_eq!(seven.op::<i64>("radd", (1,))?, 8);
        assert_eq!(seven.op::<(i64, i64)>("divmod", (4,))?, (1, 3));
        assert_eq!(seven.op::<i64>("int", ())?, 7);
        assert_eq!(seven.rem::<i64>(4)?, 3);
        assert_eq!(py.get("hex")?.call1::<String>((&seven,))?, "0x7");
        let list: Object = py.eval("[1, 2]", ())?;
        let same: Object = list.op("iadd", ([3],))?;
        assert!(same.is(&list)? && list.get_slice::<Vec<i64>>(Some(1), None, None)? == [2, 3]);
        assert!(list.is_instance(&py.get("list")?)? && !list.is_instance(&py.get("dict")?)?);
        let dict: Object = py.eval("{}", ())?;
        dict.call_method1::<()>("update", (BTreeMap::from([("a", 1)]),))?;
        assert_eq!(dict.extract::<BTreeMap<String, i64>>()?, BTreeMap::from([("a".into(), 1)]));
        let iterator = py.get("iter")?.call1::<Object>(([1],))?;
        assert_eq!(iterator.op::<i64>("next", ())?, 1);
        let io: Object = py.get("io.StringIO")?.call1(("text",))?;
        let text = io.with(|file: Object| file.call_method0::<String>("read"))?;
        assert_eq!(text.as_deref(), Some("text"));
        assert!(io.getattr("closed")?.extract::<bool>()?);
        Ok(())
    });
}

#[test]
fn instead_of_classes_of_java() {
    needs_python!();
    check(|| {
        let py = thither::connect("local:")?.python()?;
        assert_eq!(py.get("os.sep")?.extract::<String>()?, "/");
        let path: String = py.get("os.environ")?.get_item("PATH")?;
        assert!(!path.is_empty());
        assert!(py.get("os.path.exists")?.call1::<bool>(("/",))?);
        assert_eq!(py.get("signal.SIGTERM")?.extract::<i32>()?, 15);
        assert!(py.get("time.time")?.call0::<f64>()? > 1e9);
        let modules =
            ["platform", "shutil", "tempfile", "getpass", "stat", "struct", "socket", "subprocess"];
        for name in modules {
            py.import(name)?;
        }
        let path: Object = py.get("pathlib.Path")?.call1(("/",))?;
        assert!(path.call_method0::<bool>("is_dir")?);
        Ok(())
    });
}
