//! Calls, evaluations, proxies.

use std::time::{Duration, Instant};

use serde_bytes::ByteBuf;
use testkit::within_deadline;
use thither_python::{Object, Raise, locals};

use crate::python;

#[test]
fn the_first_example() {
    within_deadline("it", || {
        let py = python();
        let os = py.import("os").unwrap();
        let pid: u32 = os.call_method0("getpid").unwrap();
        assert_eq!(pid, py.info().pid);
        let n: i64 = py.eval("a + b", locals! { a: 1, b: 2 }).unwrap();
        assert_eq!(n, 3);
        let list: Object = py.eval("[1, 2]", ()).unwrap();
        list.call_method1::<()>("append", (3,)).unwrap();
        assert_eq!(list.len().unwrap(), 3);
        assert_eq!(list.get_item::<i64>(0).unwrap(), 1);
        assert_eq!(list.extract::<Vec<i64>>().unwrap(), [1, 2, 3]);
        let items: Vec<i64> = list.iter().unwrap().map(Result::unwrap).collect();
        assert_eq!(items, [1, 2, 3]);
        let joined: String = py.get("os.path.join").unwrap().call1(("a", "b")).unwrap();
        assert_eq!(joined, "a/b");
        let mut names = locals! { a: 1 };
        py.exec("c = a + 1\nimport os", &mut names).unwrap();
        assert_eq!(names.get::<i64>("c").unwrap(), 2);
        let os: Object = names.get("os").unwrap();
        assert_eq!(os.call_method0::<u32>("getpid").unwrap(), pid);
        let error = py.eval::<i64>("1 // 0", ()).unwrap_err();
        assert!(error.is_instance_of("ArithmeticError"), "{error}");
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&seen);
        let back = py.clone();
        let callback = py.callback(move |(n,): (i64,)| {
            kept.lock().unwrap().push(n);
            Ok(back.eval::<i64>("n * 2", locals! { n: n })? + 1)
        });
        let n: Vec<i64> = py.eval("[f(n) for n in range(3)]", locals! { f: callback }).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(n, [1, 3, 5]);
        let bytes: ByteBuf = py.eval("b * 2", locals! { b: ByteBuf::from(vec![7; 100_000]) }).unwrap();
        assert_eq!(bytes, vec![7; 200_000]);
        let late = py.clone().with_timeout(Duration::from_millis(50));
        let since = Instant::now();
        let error = late.get("time.sleep").unwrap().call1::<()>((10,)).unwrap_err();
        println!("{error} {:?}", since.elapsed());
        let n: i64 = py.eval("1", ()).unwrap();
        assert_eq!(n, 1);
        println!("{:?}", since.elapsed());
        let _ = Raise::new("ValueError", "x");
        py.close().unwrap();
    });
}
