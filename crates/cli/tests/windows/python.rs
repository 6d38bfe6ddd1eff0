//! A genuine Python of Windows.

use thither::PlaceExt;

use crate::host::host;

#[test]
fn by_the_tool() {
    host!(host);
    let code = "import sys; print(sys.platform, sys.argv)";
    let said = host.says("python", &["-c", code, "a b"], b"");
    assert_eq!(said, (0, "win32 ['-c', 'a b']\r\n".into(), String::new()));
    let script = host.test.file("script.py", "import sys\nprint(sys.argv[1])\nsys.exit(3)\n");
    let said = host.says("python", &[script.to_str().expect("a path"), "x"], b"");
    assert_eq!(said, (3, "x\r\n".into(), String::new()));
}

#[test]
fn by_the_library() {
    host!(host);
    let py = thither::connect(&host.address).expect("a place").python().expect("an interpreter");
    assert_eq!(py.info().platform, "win32");
    let sep: String = py.eval("__import__('os').sep", ()).unwrap();
    assert_eq!(sep, "\\");
    let folder = tempfile::tempdir().expect("a folder");
    let [there, back] = ["there", "back"].map(|name| folder.path().join(name));
    let bytes: Vec<u8> =
        (0..3 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&there, &bytes).expect("a file");
    let path = r"C:\windows\temp\thither test";
    py.putfile(&there, path, &mut |_| ()).expect("a file over there");
    let size: u64 =
        py.eval("__import__('os').path.getsize(path)", &thither::locals! { path: path }).unwrap();
    assert_eq!(size, 3 << 20);
    py.getfile(path, &back, &mut |_| ()).expect("the file");
    assert!(std::fs::read(&back).expect("a file") == bytes);
}
