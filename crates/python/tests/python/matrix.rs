//! Every version of Python that is found, from 3.6 on.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use testkit::{DEADLINE, within_deadline};
use thither_python::{Error, Object, Python, Value, locals};

use crate::output::{listening, taken};
use crate::raised;

/// What a run in CI must have seen.
const WANTED: [(u32, u32); 4] = [(3, 6), (3, 8), (3, 11), (3, 13)];

/// An interpreter of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interpreter {
    pub(crate) version: (u32, u32, u32),
    pub(crate) path: PathBuf,
}

/// What a program by such a name is, if it is a Python: shims are looked through.
pub(crate) fn identify(program: &OsStr) -> Option<Interpreter> {
    let code =
        "import os,sys;print('%d %d %d' % sys.version_info[:3], os.path.realpath(sys.executable))";
    let output = Command::new(program).args(["-c", code]).stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let mut words = said.trim_end().splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let version = (number()?, number()?, number()?);
    Some(Interpreter { version, path: words.next()?.into() })
}

/// The folders in which pyenv keeps what it has built.
pub(crate) fn pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| root.join("versions").read_dir().ok());
    versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect()
}

/// All of version 3, each once, in order.
fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(pyenv());
        let named = |name: &str| {
            name.strip_prefix("python3").is_some_and(|rest| {
                rest.is_empty()
                    || rest
                        .strip_prefix('.')
                        .is_some_and(|minor| minor.bytes().all(|c| c.is_ascii_digit()))
            })
        };
        let mut found: Vec<Interpreter> = folders
            .filter_map(|folder| folder.read_dir().ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(named))
            .filter_map(|path| identify(path.as_os_str()))
            .filter(|found| (found.version.0, found.version.1) >= (3, 6))
            .collect();
        found.sort();
        found.dedup();
        found
    })
}

#[test]
fn all_versions_that_ci_wants_are_here() {
    let mut matrix = String::from("Python, as found:\n");
    for Interpreter { version: (major, minor, micro), path } in interpreters() {
        writeln!(matrix, "  {major}.{minor}.{micro}\t{}", path.display()).unwrap();
    }
    // Around libtest's capture: it is to be read.
    rustix::io::write(rustix::stdio::stderr(), matrix.as_bytes()).unwrap();
    let is_missing = |&(major, minor): &(u32, u32)| {
        !interpreters().iter().any(|found| (found.version.0, found.version.1) == (major, minor))
    };
    let missing: Vec<String> = WANTED
        .into_iter()
        .filter(is_missing)
        .map(|(major, minor)| format!("{major}.{minor}"))
        .collect();
    if !missing.is_empty() {
        testkit::skip!("no Python {} here", missing.join(", "));
    }
}

#[test]
fn all_of_the_surface_with_every_version() {
    for interpreter in interpreters() {
        let program = interpreter.path.to_str().expect("a path of text").to_string();
        let version = interpreter.version;
        let seen = crate::output::Seen::default();
        within_deadline(&format!("{program} within {DEADLINE:?}"), move || {
            let py = listening(&seen)
                .local(&program)
                .unwrap_or_else(|error| panic!("{program}: {error}"));
            assert_eq!(py.info().version_info, version);
            evaluations(&py);
            objects(&py);
            callbacks(&py);
            interrupts(&py);
            values(&py);
            output(&py, &seen);
            faults(&py);
            py.close().unwrap();
        });
    }
}

fn evaluations(py: &Python) {
    let mut names = locals! { a: 1, list: vec![1] };
    py.exec("b = a + 1\nlist.append(b)\nimport os\ndef f(n): return n + b\ndel a", &mut names)
        .unwrap();
    assert_eq!(names.get::<i64>("b").unwrap(), 2);
    assert_eq!(names.get::<Vec<i64>>("list").unwrap(), [1, 2]);
    assert_eq!(names.get::<Object>("f").unwrap().call1::<i64>((1,)).unwrap(), 3);
    assert!(names.get::<i64>("a").is_err());
    let code = py.compile("1 // n", "mine.py", "eval").unwrap();
    let error = raised(py.eval::<i64>(&code, locals! { n: 0 }));
    assert!(
        error.is_instance_of("ArithmeticError") && error.traceback.contains("    1 // n\n"),
        "{error:?}"
    );
    let xml = py.import("xml").unwrap();
    assert!(xml.getattr("dom.minidom").unwrap().hasattr("parseString").unwrap());
    assert_eq!(py.get("os.path.join").unwrap().call1::<String>(("a", "b")).unwrap(), "a/b");
    assert_eq!(raised(py.import("no_such_module")).kind, "ModuleNotFoundError");
    assert_eq!(
        raised(py.eval::<()>("open('/no/such')", ())).args[2],
        Value::Str("/no/such".into())
    );
    assert!(raised(py.exec("def f(): f()\nf()", ())).is_instance_of("RecursionError"));
}

fn objects(py: &Python) {
    let list: Object = py.eval("[3, 1, 2]", ()).unwrap();
    list.set_item(0, 9).unwrap();
    list.op::<Object>("iadd", (vec![5],)).unwrap();
    assert_eq!(list.get_slice::<Vec<i64>>(None, None, Some(-1)).unwrap(), [5, 2, 1, 9]);
    list.set_slice(Some(0), Some(2), None, vec![0]).unwrap();
    assert_eq!(list.extract::<Vec<i64>>().unwrap(), [0, 2, 5]);
    assert_eq!(list.add::<Vec<i64>>(vec![1]).unwrap(), [0, 2, 5, 1]);
    assert!(list.contains(5).unwrap() && list.eq::<bool>(vec![0, 2, 5]).unwrap());
    assert!(py.eval::<bool>("(lambda l: l is m)(l)", locals! { l: &list, m: &list }).unwrap());
    assert_eq!(
        py.eval::<Object>("range(1000)", ())
            .unwrap()
            .iter::<i64>()
            .unwrap()
            .map(Result::unwrap)
            .sum::<i64>(),
        499_500
    );
    let generator: Object = py.eval("(1 // (3 - n) for n in range(9))", ()).unwrap();
    assert_eq!(generator.iter::<i64>().unwrap().batch(10).take_while(Result::is_ok).count(), 3);
    let lock: Object = py.get("threading.Lock").unwrap().call0().unwrap();
    lock.with(|_: bool| {
        assert!(lock.call_method0::<bool>("locked")?);
        Ok(())
    })
    .unwrap()
    .unwrap();
    assert!(!lock.call_method0::<bool>("locked").unwrap());
    drop((list, generator, lock));
    let before = crate::objects::table(py);
    drop(
        py.eval::<Object>("[[] for _ in range(5000)]", ())
            .unwrap()
            .iter::<Object>()
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
    );
    testkit::wait_until(DEADLINE, "an empty table", || crate::objects::table(py) <= before);
}

fn callbacks(py: &Python) {
    let back = py.clone();
    let f = py.callback(move |(n,): (i64,)| Ok(back.eval::<i64>("10 // n", locals! { n: n })?));
    assert_eq!(
        py.eval::<Vec<i64>>("[f(n) for n in (1, 2, 5)]", locals! { f: &f }).unwrap(),
        [10, 5, 2]
    );
    assert_eq!(raised(py.eval::<i64>("f(0)", locals! { f: &f })).kind, "ZeroDivisionError");
    let threads =
        "(lambda e, got: ([t.start() for t in e], [t.join() for t in e], sorted(got))[2])";
    py.exec("import threading\ngot = []\n\
        def threads(f): return [threading.Thread(target=lambda n=n: got.append(f(n))) for n in (1, 2, 5)]", ()).unwrap();
    let code = format!("{threads}(threads(f), got)");
    assert_eq!(py.eval::<Vec<i64>>(code, locals! { f: &f }).unwrap(), [2, 5, 10]);
    let same = py.callback_with_objects(|(o,): (Object,)| Ok(o));
    assert!(py.eval::<bool>("(lambda o: f(o) is o)(object())", locals! { f: &same }).unwrap());
}

fn interrupts(py: &Python) {
    let late = py.clone().with_timeout(std::time::Duration::from_millis(50));
    for code in [
        "while True: pass",
        "import time; time.sleep(1000)",
        "import threading; threading.Event().wait()",
    ] {
        assert!(matches!(late.exec(code, ()), Err(Error::TimedOut { .. })), "{code}");
    }
    assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
    // Others are answered while one sleeps.
    std::thread::scope(|scope| {
        scope.spawn(|| py.exec("e = threading.Event(); begun = 1; assert e.wait(20)", ()).unwrap());
        testkit::wait_until(DEADLINE, "an answer", || {
            py.eval::<bool>("'begun' in globals()", ()).unwrap()
        });
        py.get("e.set").unwrap().call0::<()>().unwrap();
    });
}

fn values(py: &Python) {
    let bytes = serde_bytes::ByteBuf::from(vec![7; 200_000]);
    assert_eq!(py.eval::<serde_bytes::ByteBuf>("b", locals! { b: &bytes }).unwrap(), bytes);
    let value = Value::Tuple(vec![
        Value::Int(i128::MIN),
        Value::Float(0.5),
        Value::Str("é€😀".into()),
        Value::None,
    ]);
    assert_eq!(py.eval::<Value>("v", locals! { v: &value }).unwrap(), value);
    assert_eq!(
        py.eval::<Value>("'\\udcff'", ()).unwrap(),
        Value::SurrogateStr(b"\xed\xb3\xbf".into())
    );
    assert!(py.eval::<Value>("compile('1', 'x', 'eval')", ()).is_err());
    assert!(py.eval::<Value>("(lambda l: l.append(l) or l)([])", ()).is_err());
    let (n, o): (i64, Object) = py.eval("(1, object())", ()).unwrap();
    assert!(n == 1 && o.is_truthy().unwrap());
}

fn output(py: &Python, seen: &crate::output::Seen) {
    taken(seen);
    py.exec("import os, sys\nprint('a é'); os.write(1, b'b\\n'); os.system('echo c'); sys.stderr.write('d')", ()).unwrap();
    assert_eq!(taken(seen), ">a é\nb\nc\n!d");
}

fn faults(py: &Python) {
    assert_eq!(raised(py.exec("import sys; sys.exit(3)", ())).args, [Value::Int(3)]);
    let code = "pid = os.fork()\nif pid: assert os.waitpid(pid, 0)[1] == 0";
    py.exec(code, ()).unwrap();
    let code = "import multiprocessing as m\np = m.get_context('fork').Process(target=print, args=('child',))\n\
        p.start(); p.join(); assert p.exitcode == 0, p.exitcode";
    py.exec(code, ()).unwrap();
    assert_eq!(
        py.eval::<Vec<u8>>("__import__('subprocess').check_output(['echo', 'x'])", ()).unwrap(),
        b"x\n"
    );
    assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
}
