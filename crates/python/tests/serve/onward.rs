//! Interpreters that are started from over there.

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::Python;

use crate::{lives, program, python, quiet};

fn chain() -> [Python; 3] {
    let first = python();
    let second = first.onward(program(), quiet()).unwrap();
    let third = second.onward(program(), quiet()).unwrap();
    [first, second, third]
}

fn pids(chain: &[Python]) -> Vec<u32> {
    chain.iter().map(|py| py.info().pid).collect()
}

#[test]
fn three_in_a_row() {
    within_deadline("a chain", || {
        let chain = chain();
        let parents =
            chain.each_ref().map(|py| py.eval::<u32>("__import__('os').getppid()", ()).unwrap());
        let pids = pids(&chain);
        assert_eq!(parents[1..], pids[..2]);
        let [first, second, third] = chain;
        let big = serde_bytes::ByteBuf::from(vec![7; 5 << 20]);
        let back: serde_bytes::ByteBuf =
            third.eval("b[::-1]", thither_python::locals! { b: &big }).unwrap();
        assert!(back == big);
        let double = third.callback(|(n,): (i64,)| Ok(n * 2));
        let n: i64 = third.eval("f(f(1))", thither_python::locals! { f: double }).unwrap();
        assert_eq!(n, 4);
        // The last handle of the first is that which the others have.
        drop((first, second));
        assert_eq!(third.eval::<u32>("__import__('os').getpid()", ()).unwrap(), pids[2]);
        drop(third);
        wait_until(DEADLINE, "all end", || !pids.iter().any(|&pid| lives(pid)));
    });
}

#[test]
fn the_end_of_one_is_that_of_those_behind_it() {
    within_deadline("the end", || {
        let [first, second, third] = chain();
        let pids = pids(&[first.clone(), second.clone(), third.clone()]);
        first.close().unwrap();
        wait_until(DEADLINE, "all end", || !pids.iter().any(|&pid| lives(pid)));
        assert!(second.eval::<i64>("1", ()).is_err());
        assert!(third.eval::<i64>("1", ()).is_err());
    });
}

#[test]
fn how_it_ended_is_said() {
    within_deadline("an exit", || {
        let first = python();
        for (code, said) in
            [("os._exit(3)", "exit status: 3"), ("os.kill(os.getpid(), 9)", "signal: 9")]
        {
            let second = first.onward(program(), quiet()).unwrap();
            second.exec("import os", ()).unwrap();
            let error = second.exec(code, ()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("connection to Python lost: it ended with {said}")
            );
        }
        assert_eq!(first.eval::<i64>("1", ()).unwrap(), 1);
    });
}

#[test]
fn a_program_that_is_missing_or_none() {
    within_deadline("errors", || {
        let first = python();
        let error = first.onward("no-such-python", quiet()).unwrap_err();
        assert!(error.to_string().contains("'no-such-python'"), "{error}");
        let error = first.onward("false", quiet()).unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    });
}

#[test]
fn a_limit_of_calls_is_none_of_the_way() {
    within_deadline("a chain", || {
        let first = python().with_timeout(std::time::Duration::from_millis(100));
        let second = first.onward(program(), quiet()).unwrap();
        assert!(second.eval::<bool>("__import__('time').sleep(0.3) is None", ()).unwrap());
    });
}
