#![expect(unsafe_code, reason = "fork(2)")]
//! What is called.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

pub(crate) fn add((a, b): (i64, i64)) -> i64 {
    a + b
}

pub(crate) fn look(path: PathBuf) -> Vec<String> {
    let names = fs::read_dir(path).expect("a folder");
    let mut names: Vec<String> =
        names.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) type Odd = (BTreeMap<(u8, i128), Option<f64>>, Vec<u8>, char, Result<(), String>);

pub(crate) fn odd_values(odd: Odd) -> Odd {
    odd
}

pub(crate) fn fails(path: PathBuf) -> Result<(), (i32, String)> {
    fs::read(path).map(drop).map_err(|error| (error.raw_os_error().unwrap_or(0), error.to_string()))
}

pub(crate) fn panics(what: String) -> i32 {
    panic!("it was {what}\x1b[31m");
}

pub(crate) fn ends(code: i32) {
    if code < 0 {
        rustix::process::kill_process(
            rustix::process::getpid(),
            rustix::process::Signal::from_named_raw(-code).unwrap(),
        )
        .unwrap();
    }
    #[expect(clippy::disallowed_methods, reason = "that is what it is about")]
    std::process::exit(code);
}

pub(crate) fn says(text: String) {
    use std::io::Write;
    // Buffered: who flushes it?
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

pub(crate) fn write((path, text): (PathBuf, String)) -> std::result::Result<(), String> {
    fs::write(path, text).map_err(|error| error.to_string())
}

pub(crate) fn leaves_a_daemon(_: ()) {
    drop(std::process::Command::new("/bin/sleep").arg("1000").spawn().expect("a child"));
}

pub(crate) fn descriptors(_: ()) -> Vec<(String, String)> {
    let link = |name: &str| fs::read_link(format!("/proc/self/fd/{name}")).unwrap_or_default();
    let names = look("/proc/self/fd".into());
    names.into_iter().map(|name| (link(&name).display().to_string(), name)).collect()
}

/// Holds on to its program, becomes another one, and tries then.
pub(crate) fn overwrites_its_program(_: ()) {
    use std::os::unix::process::CommandExt;
    let script = "exec 3</proc/self/fd/0; (: >>/proc/self/fd/3) 2>/tmp/said; exit 9";
    let program = fs::File::open("/proc/self/exe").unwrap();
    let error = std::process::Command::new("/bin/sh").args(["-c", script]).stdin(program).exec();
    panic!("{error}");
}

pub(crate) fn many_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| n as u8).collect()
}

/// Whose encoding fails.
#[derive(Debug)]
pub(crate) struct Unspeakable;

impl serde::Serialize for Unspeakable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no words"))
    }
}

impl<'de> serde::Deserialize<'de> for Unspeakable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("no ears"))
    }
}

pub(crate) fn unspeakable(_: ()) -> Unspeakable {
    Unspeakable
}

/// Threads can be started inside.
pub(crate) fn threads(count: u32) -> u32 {
    let threads: Vec<_> = (0..count).map(|n| std::thread::spawn(move || n)).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

pub(crate) fn starts(program: PathBuf) -> String {
    std::process::Command::new(program).status().expect("it can be started");
    "honest".to_owned()
}

pub(crate) fn forks(_: ()) -> u8 {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => 1,
        child => {
            // SAFETY: our child, and no status is wanted.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            2
        }
    }
}

pub(crate) fn runs(script: String) -> String {
    let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output();
    String::from_utf8_lossy(&output.expect("a shell").stdout).into_owned()
}
