//! Files over ssh.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::tool::{Host, host, says};

/// A tree with what trees have.
fn tree(at: &Path) {
    std::fs::create_dir_all(at.join("sub/empty")).unwrap();
    std::fs::write(at.join("a b'\n$x"), "text").unwrap();
    std::fs::write(at.join(OsStr::from_bytes(b"\xff\xfe")), [0, 255, 10]).unwrap();
    std::fs::write(at.join("-n"), "").unwrap();
    std::fs::write(at.join("sub/large"), vec![7; 3_000_000]).unwrap();
    symlink("../-n", at.join("sub/link")).unwrap();
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    let diff = std::process::Command::new("diff")
        .arg("-r")
        .arg("--no-dereference")
        .args([one, other])
        .output()
        .unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}

#[track_caller]
fn there_and_back(host: &Host, place: &str) {
    let (source, back) = (host.folder().join("source"), host.folder().join("back"));
    let _ = std::fs::remove_dir_all(&source);
    let _ = std::fs::remove_dir_all(&back);
    tree(&source);
    let remote = |path: &str| -> OsString { format!("{place}::{path}").into() };
    let cp = |args: &[OsString]| {
        let (out, err, code) =
            says(&mut host.thither([&["cp".into(), "-r".into()], args].concat()));
        assert_eq!((out.as_str(), err.as_str(), code), ("", "", 0));
    };
    // Its home: a relative path is one there.
    cp(&[source.clone().into(), remote("it's here")]);
    cp(&[remote("it's here"), back.clone().into()]);
    same(&source, &back);
    let removed = says(&mut host.thither(["run", place, "rm", "-r", "it's here"]));
    assert_eq!(removed.2, 0, "{}", removed.1);
}

/// Runs for hosts with each of the login shells.
macro_rules! for_each_shell {
    ($check:expr) => {
        testkit::own_ssh!();
        for shell in ["sh", "bash", "zsh", "fish"] {
            match Host::new(shell, "Banner /etc/passwd") {
                Ok(host) => $check(&host),
                Err(reason) => testkit::skip!("{reason}"),
            }
        }
    };
}

#[test]
fn there_and_back_again() {
    for_each_shell!(|host: &Host| there_and_back(host, &host.place()));
}

#[test]
fn what_is_not_there() {
    let host = host!("bash");
    let missing = format!("{}::/no/such/file", host.place());
    let (out, err, code) = says(&mut host.thither(["cp", &missing, "here"]));
    assert!(
        out.is_empty()
            && code == 125
            && err.starts_with("error: ")
            && err.contains("/no/such/file"),
        "{err} {code}"
    );
    let denied = format!("{}::/root/x", host.place());
    let (_, err, code) = says(&mut host.thither(["cp", "/etc/passwd", &denied]));
    assert!(code == 125 && err.to_lowercase().contains("denied"), "{err} {code}");
}

/// A host whose PATH has these programs of `/usr/bin` alone.
pub(crate) fn host_with(programs: impl Fn(&OsStr) -> bool, options: &str) -> Host {
    // The folder is there before the server that is told of it.
    let bin = testkit::SshHome::folder().join("bin");
    let _ = std::fs::remove_dir_all(&bin);
    std::fs::create_dir(&bin).unwrap();
    for entry in std::fs::read_dir("/usr/bin").unwrap() {
        let entry = entry.unwrap();
        if programs(&entry.file_name()) {
            let _ = symlink(entry.path(), bin.join(entry.file_name()));
        }
    }
    let host = Host::new("sh", &format!("SetEnv PATH={}\n{options}", bin.display())).unwrap();
    let open = std::process::Command::new("chmod").args(["755"]).arg(host.folder()).status();
    assert!(open.unwrap().success());
    let (_, _, code) = says(&mut host.run(&["sh", "-c", "command -v tar"]));
    assert_ne!(code, 0);
    host
}

#[test]
fn without_tar_there() {
    drop(host!("sh"));
    let host = host_with(|name| name != "tar" && !name.as_bytes().starts_with(b"bsdtar"), "");
    there_and_back(&host, &host.place());
}

/// What is needed there, and what our own script for signals asks for.
const FEW: &str =
    "bash cat chmod dash dd env id ln ls mkdir mv ps readlink rm sh stat touch sleep kill";

#[test]
fn without_tar_sftp_and_python_there() {
    drop(host!("sh"));
    let few = |name: &OsStr| FEW.split(' ').any(|it| name == it);
    let host = host_with(few, "Subsystem none /nonexistent");
    let (_, _, code) = says(&mut host.run(&["sh", "-c", "command -v python3"]));
    assert_ne!(code, 0);
    there_and_back(&host, &host.place());
    a_full_disk_at(&host);
    let denied = format!("{}::/root/x", host.place());
    let (_, err, code) = says(&mut host.thither(["cp", "/etc/passwd", &denied]));
    assert!(code == 125 && err.to_lowercase().contains("denied"), "{err} {code}");
}

/// A directory over there that holds a megabyte and an old file, for as long as this lives.
struct Full(std::path::PathBuf);

impl Full {
    fn at(host: &Host) -> Full {
        let folder = host.folder().join("full");
        std::fs::create_dir(&folder).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1m,mode=1777", "none"];
        let mounted = std::process::Command::new("mount").args(mount).arg(&folder).status();
        assert!(mounted.unwrap().success());
        let open = std::process::Command::new("chmod").args(["755"]).arg(host.folder()).status();
        assert!(open.unwrap().success());
        std::fs::write(folder.join("old"), "old").unwrap();
        let mut chown = std::process::Command::new("chown");
        assert!(chown.arg(&host.user).arg(folder.join("old")).status().unwrap().success());
        Full(folder)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// A file and a tree that do not fit leave all as it was, and the error says why.
fn a_full_disk_at(host: &Host) {
    let full = Full::at(host);
    let source = host.folder().join("large");
    tree(&source);
    let there = |name: &str| format!("{}::{}", host.place(), full.0.join(name).display());
    for (what, name) in [(source.join("sub/large"), "old"), (source, "new")] {
        let words = ["cp".into(), "-r".into(), what.into_os_string(), there(name).into()];
        let (out, err, code) = says(&mut host.thither(words));
        assert_eq!((out.as_str(), code), ("", 125), "{err}");
        assert!(err.to_lowercase().contains("no space left on device"), "{err}");
    }
    let names: Vec<OsString> =
        std::fs::read_dir(&full.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["old"]);
    assert_eq!(std::fs::read_to_string(full.0.join("old")).unwrap(), "old");
}

#[test]
fn a_full_disk_there() {
    let host = host!("sh");
    a_full_disk_at(&host);
}

#[test]
fn a_host_for_sftp_alone() {
    let host = host!("sh", "ForceCommand internal-sftp");
    let (source, back) = (host.folder().join("source"), host.folder().join("back"));
    tree(&source);
    // The test's own folder is nobody else's, and the home is that of other tests, too.
    let remote = format!("{}::by sftp {}", host.place(), std::process::id());
    for [from, to] in [[source.to_str().unwrap(), &remote], [&remote, back.to_str().unwrap()]] {
        let said = says(&mut host.thither(["cp", "-r", from, to]));
        assert_eq!(said, (String::new(), String::new(), 0));
    }
    same(&source, &back);
    a_full_disk_at(&host);
    // It lies in the user's home, which other tests share.
    let home = std::process::Command::new("getent").args(["passwd", &host.user]).output().unwrap();
    let home = String::from_utf8(home.stdout).unwrap().split(':').nth(5).unwrap().to_owned();
    std::fs::remove_dir_all(Path::new(&home).join(format!("by sftp {}", std::process::id())))
        .unwrap();
}
