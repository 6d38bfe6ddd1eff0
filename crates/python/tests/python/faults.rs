//! What the code over there does to the interpreter that it runs in.

use testkit::within_deadline;
use thither_python::{Object, Python, locals};

use crate::output::{listened, taken};
use crate::{assert_alive, python, raised};

#[track_caller]
fn runs(py: &Python, code: &str) {
    py.exec(code, ()).unwrap_or_else(|error| panic!("{code}: {error}"));
    assert_alive(py);
}

#[test]
fn fork_in_the_remote_hangs() {
    within_deadline("a fork", || {
        let (py, seen) = listened();
        let exit = "import os\npid = os.fork()\n";
        // The child falls off the end of the call.
        let code =
            format!("{exit}if pid: assert os.waitpid(pid, 0)[1] == 0\nelse: print('child')\n");
        runs(&py, &code);
        assert_eq!(taken(&seen), ">child\n");
        // It fails: its traceback, and its code.
        let code = format!(
            "{exit}if pid: status = os.waitpid(pid, 0)[1]\nelse: raise ValueError('of the child')\nassert status == 256, status"
        );
        runs(&py, &code);
        assert!(taken(&seen).contains("ValueError: of the child"));
        runs(
            &py,
            &format!(
                "{exit}if pid: status = os.waitpid(pid, 0)[1]\nelse:\n  import sys; sys.exit(7)\nassert status == 7 * 256, status"
            ),
        );
        runs(&py, &format!("{exit}if pid: os.waitpid(pid, 0)\nelse: os._exit(0)"));
        runs(
            &py,
            &format!("{exit}if pid: os.waitpid(pid, 0)\nelse: os.execv('/bin/true', ['true'])"),
        );
        taken(&seen);
        // What waits to be printed is printed once.
        runs(
            &py,
            &format!("import sys\nsys.stdout.write('once')\n{exit}if pid: os.waitpid(pid, 0)"),
        );
        assert_eq!(taken(&seen), ">once");
        // It is no client of ours.
        let f = py.callback(|(): ()| Ok(1));
        let code = format!(
            "{exit}if pid: status = os.waitpid(pid, 0)[1]\nelse: f()\nassert status == 256, status"
        );
        py.exec(code, &locals! { f: &f }).unwrap();
        assert_alive(&py);
        // Several children at once, and one that lives on.
        runs(
            &py,
            "import os, time\nfor _ in range(10):\n  if not os.fork(): time.sleep(.2); break",
        );
        assert_eq!(py.get("time.sleep").unwrap().call1::<Option<i64>>((0.3,)).unwrap(), None);
        assert_alive(&py);
    });
}

#[test]
fn fork_in_a_thread_over_there() {
    within_deadline("a fork", || {
        let py = python();
        py.exec("import os, threading\nbegun, go = threading.Event(), threading.Event()", ())
            .unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| py.eval::<bool>("begun.set() or go.wait()", ()));
            py.get("begun.wait").unwrap().call0::<()>().unwrap();
            for _ in 0..5 {
                py.exec("pid = os.fork()\nif pid: assert os.waitpid(pid, 0)[1] == 0", ()).unwrap();
            }
            py.get("go.set").unwrap().call0::<()>().unwrap();
            assert!(waits.join().unwrap().unwrap());
        });
        assert_alive(&py);
    });
}

#[test]
fn subprocess_in_the_remote_hangs() {
    within_deadline("a child", || {
        let (py, seen) = listened();
        runs(&py, "import subprocess, sys\nassert subprocess.run(['cat']).returncode == 0");
        runs(
            &py,
            "assert subprocess.check_output([sys.executable, '-c', 'print(input())'], input=b'a') == b'a\\n'",
        );
        runs(
            &py,
            "subprocess.check_call([sys.executable, '-c', 'import sys; print(1); sys.stderr.write(\"2\")'])",
        );
        assert_eq!(taken(&seen), ">1\n!2");
        // One that goes on does not keep a call.
        runs(&py, "p = subprocess.Popen(['sleep', '1000'])");
        runs(&py, "p.kill(); p.wait()");
    });
}

#[test]
fn multiprocessing_in_the_remote_hangs() {
    within_deadline("processes", || {
        let (py, seen) = listened();
        runs(
            &py,
            "import multiprocessing as m\ndef double(n): return n * 2\ndef say(): print('child')",
        );
        for method in ["fork", "spawn"] {
            // The function is found by its module where the child is a new interpreter.
            let target = if method == "fork" { "say" } else { "print" };
            runs(
                &py,
                &format!(
                    "p = m.get_context('{method}').Process(target={target})\np.start(); p.join()\nassert p.exitcode == 0, p.exitcode"
                ),
            );
        }
        assert_eq!(taken(&seen), ">child\n\n");
        let doubled = "(lambda p: (p.map(double, range(5)), p.terminate(), p.join())[0])(m.get_context('fork').Pool(2))";
        assert_eq!(py.eval::<Vec<i64>>(doubled, ()).unwrap(), [0, 2, 4, 6, 8]);
        assert_alive(&py);
    });
}

#[test]
fn signals_only_in_the_main_thread() {
    within_deadline("signals", || {
        let py = python();
        runs(
            &py,
            "import signal, os, threading\nassert threading.current_thread() is threading.main_thread()",
        );
        runs(
            &py,
            "got = []\nsignal.signal(signal.SIGUSR1, lambda *a: got.append(1))\nos.kill(os.getpid(), signal.SIGUSR1)",
        );
        runs(&py, "assert got == [1], got");
        runs(
            &py,
            "import asyncio\nasync def f(): await asyncio.sleep(.01); return 5\n\
            assert asyncio.new_event_loop().run_until_complete(f()) == 5",
        );
        // A signal handler that calls back.
        let f = py.callback(|(): ()| Ok(7));
        py.globals().unwrap().set_item("f", &f).unwrap();
        runs(&py, "signal.signal(signal.SIGUSR1, lambda *a: got.append(f()))");
        runs(&py, "for _ in range(20): os.kill(os.getpid(), signal.SIGUSR1)");
        runs(&py, "assert got[-1] == 7 and len(got) > 1, got");
        let error = raised(py.exec("os.kill(os.getpid(), signal.SIGINT); sum(range(100))", ()));
        assert_eq!(error.kind, "KeyboardInterrupt");
        assert_alive(&py);
    });
}

#[test]
fn what_code_does_to_its_interpreter() {
    within_deadline("odd code", || {
        let py = python();
        runs(&py, "import sys\nsys.setrecursionlimit(5000)");
        runs(&py, "sys.path.clear(); sys.argv = []; sys.modules.pop('os', None)");
        runs(&py, "sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)");
        runs(&py, "sys.settrace(None); sys.setprofile(None)");
        runs(&py, "sys.stdout = sys.stderr = sys.stdin = None; print('x')");
        runs(&py, "import gc; gc.disable(); gc.collect()");
        runs(&py, "import threading\nthreading.Thread(target=lambda: 1 // 0).start()");
        runs(&py, "len = print = eval = None");
        runs(&py, "class A:\n  def __del__(self): raise ValueError\na = A(); del a");
        assert_alive(&py);
    });
}

/// A destructor may take its time, or call back, whoever lets go.
#[test]
fn a_slow_destructor_keeps_nobody() {
    within_deadline("a destructor", || {
        let py = python();
        py.exec(
            "import threading\ngo, begun = threading.Event(), threading.Event()\n\
            class A:\n  def __del__(self): go.wait()",
            (),
        )
        .unwrap();
        std::thread::scope(|scope| {
            // While the main thread is in use.
            let waits = scope.spawn(|| py.eval::<bool>("begun.set() or go.wait()", ()));
            py.get("begun.wait").unwrap().call0::<()>().unwrap();
            let a: Object = py.eval("A()", ()).unwrap();
            drop(a);
            assert_alive(&py);
            py.get("go.set").unwrap().call0::<()>().unwrap();
            assert!(waits.join().unwrap().unwrap());
        });
    });
}
