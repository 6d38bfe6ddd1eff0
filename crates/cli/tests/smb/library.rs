//! Python over there by the library.

use std::fs;
use std::path::Path;

use testkit::within_deadline;
use thither::PlaceExt;
use thither::python::Python;

use crate::files::bytes;
use crate::harness::Folders;
use crate::host::host;

/// Calls, errors and files at a place, with a folder of its own there.
pub(crate) fn check(address: &str, user: Option<&str>) {
    let (address, user) = (address.to_owned(), user.map(str::to_owned));
    let folders = Folders::new();
    within_deadline("Python over there", move || {
        let py = thither::connect(&address).unwrap().python().expect("Python");
        if let Some(user) = user {
            assert_eq!(
                py.import("getpass").unwrap().call_method0::<String>("getuser").unwrap(),
                user
            );
        }
        let twice = py.callback(|(n,): (i64,)| Ok(n * 2));
        let found: Vec<i64> =
            py.eval("[f(n) for n in range(3)]", thither::locals! { f: twice }).unwrap();
        assert_eq!(found, [0, 2, 4]);
        let error = py.eval::<i64>("1 // 0", ()).unwrap_err();
        assert!(error.is_instance_of("ZeroDivisionError"), "{error}");
        files(&py, &folders.path("here"));
        py.close().unwrap();
    });
}

fn files(py: &Python, here: &Path) {
    let (sent, back) = (here.join("sent"), here.join("back"));
    fs::write(&sent, bytes()).unwrap();
    let there: String = py.eval("__import__('tempfile').mkdtemp()", ()).unwrap();
    let file = Path::new(&there).join("file");
    py.putfile(&sent, &file, &mut |_| ()).unwrap();
    let sum = "__import__('zlib').crc32(open(name, 'rb').read())";
    let there_sum: u32 = py.eval(sum, thither::locals! { name: file.to_str().unwrap() }).unwrap();
    py.getfile(&file, &back, &mut |_| ()).unwrap();
    assert!(fs::read(&back).unwrap() == bytes(), "what came back differs");
    // The same here, by a Python here.
    let local = thither::connect("local:").unwrap().python().unwrap();
    let here_sum: u32 = local.eval(sum, thither::locals! { name: sent.to_str().unwrap() }).unwrap();
    assert_eq!(there_sum, here_sum);
    py.exec("__import__('shutil').rmtree(there)", thither::locals! { there: there.as_str() })
        .unwrap();
}

#[test]
fn calls_and_files() {
    let host = host!();
    check(&host.daemon.place, Some(host.smbd.user()));
}
