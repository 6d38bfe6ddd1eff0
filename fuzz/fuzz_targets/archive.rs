//! Bytes of any kind as a tar stream: whatever they say, nothing is touched outside of the destination, a refusal leaves
//! nothing behind, and what was taken is the same after being packed and unpacked again.
#![no_main]

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use thither_place::archive::Preserve;
use thither_place::{Archive, Local, Place};

/// A folder in memory, if there is one: `outside` beside `into` must stay as it is.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    sweep(base);
    let folder = PathBuf::from(format!("{base}/{PREFIX}{}", std::process::id()));
    fs::create_dir_all(folder.join("outside")).expect("a folder");
    fs::write(folder.join("outside/precious"), "precious").expect("a file");
    folder
});

const MORE: Preserve = Preserve { owner: false, xattr: true, sparse: true };
const PREFIX: &str = "thither-fuzz-archive-";

/// Removes what former runs have left, which end without a word.
fn sweep(base: &str) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    // Checksums are right as often as not: else nothing but the first header would be met.
    let mut bytes = bytes.to_vec();
    seal(&mut bytes);
    let into = FOLDER.join("into");
    let _ = fs::remove_dir_all(&into);
    fs::create_dir(&into).expect("a folder");
    let taken = put(bytes.clone(), &into.join("new"));
    let names: Vec<_> = fs::read_dir(&into)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    match taken {
        true => assert_eq!(names, ["new"]),
        false => assert!(names.is_empty(), "{names:?}"),
    }
    let precious = fs::read_to_string(FOLDER.join("outside/precious"));
    assert_eq!(precious.expect("it is there"), "precious");
    assert_eq!(fs::read_dir(&*FOLDER).expect("a folder").count(), 2);
    // An ordinary user may be unable to read what has the modes of the archive.
    if let Some(first) = taken.then(|| stream(&into.join("new"))).flatten() {
        assert!(put(first.clone(), &into.join("again")));
        assert!(stream(&into.join("again")) == Some(first));
    }
    // As it is sent to where others unpack it.
    let mut packed = Vec::new();
    let _ =
        Archive::from_tar(Cursor::new(bytes.clone()), "new").into_tar().read_to_end(&mut packed);
    // With what is kept on request: a file with holes is as long as it says and takes nothing.
    let more = |bytes: Vec<u8>| Archive::from_tar(Cursor::new(bytes), "more").preserving(MORE);
    packed.clear();
    if more(bytes.clone()).into_tar().read_to_end(&mut packed).is_ok() {
        let mut again = Vec::new();
        let read = more(packed.clone()).into_tar().read_to_end(&mut again);
        assert!(read.is_ok() && again == packed);
    }
    let kept = Local.put(more(bytes), &into.join("more")).is_ok();
    assert_eq!(kept, into.join("more").exists());
    assert_eq!(fs::read_dir(&*FOLDER).expect("a folder").count(), 2);
});

fn put(bytes: Vec<u8>, path: &Path) -> bool {
    Local.put(Archive::from_tar(Cursor::new(bytes), "new"), path).is_ok()
}

/// The names, kinds and contents of a tree, under one name.
fn stream(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let archive = Local.get(path).expect("it is there").renamed("same");
    archive.into_tar().read_to_end(&mut bytes).ok().map(|_| bytes)
}

/// Makes the checksum of every block that looks like a header right.
fn seal(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" && block[148] != 1 {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
