//! Files to and from a root: inside it whatever links say, and what a command would see.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use testkit::{BusyboxRoot, within_deadline};
use thither_chroot::{Chroot, Mount, Overlay};
use thither_place::{Archive, Local, Place, Result};

use crate::{as_both, only_root};

/// Copies a file of this machine into a root.
fn put(root: &Chroot, from: &Path, to: &str) -> Result<()> {
    let (root, from, to) = (root.clone(), from.to_owned(), to.to_owned());
    within_deadline("a copy", move || root.put(Local.get(&from)?, to.as_ref()))
}

/// The content of one file of a root.
fn content(root: &Chroot, path: &str) -> std::io::Result<String> {
    let mut archive: Archive = root.get(path.as_ref()).map_err(std::io::Error::other)?;
    within_deadline("a copy", move || {
        let size = archive.next_entry()?.map_or(0, |entry| entry.size);
        let mut content = String::new();
        let mut chunk = [0; 4096];
        loop {
            match archive.read_content(&mut chunk)? {
                0 => break,
                read => content += &String::from_utf8_lossy(&chunk[..read]),
            }
        }
        assert_eq!(content.len() as u64, size);
        assert_eq!(archive.next_entry()?, None);
        Ok(content)
    })
}

fn file(text: &str) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("f"), text).unwrap();
    folder
}

/// What is said about a copy that cannot be.
#[track_caller]
fn refused(result: Result<()>, root: &BusyboxRoot) -> String {
    let error = result.expect_err("it was copied");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {cause}; {}", error.hint().unwrap_or("no hint"));
    text.replace(root.path().to_str().unwrap(), "ROOT")
}

as_both! {
    files_go_in_and_out,
    links_lead_nowhere_else,
    what_a_command_would_see,
    what_would_be_lost,
}

fn files_go_in_and_out(root: &BusyboxRoot) {
    let from = file("new");
    let place = Chroot::new(root.path());
    put(&place, &from.path().join("f"), "/etc/copy").unwrap();
    assert_eq!(content(&place, "/etc/copy").unwrap(), "new");
    // Without a slash from where commands start.
    put(&place, &from.path().join("f"), "tmp").unwrap();
    assert_eq!(fs::read_to_string(root.path().join("tmp/f")).unwrap(), "new");
    let place = place.dir("/tmp");
    assert_eq!(content(&place, "f").unwrap(), "new");
    put(&place, &from.path().join("f"), "").unwrap();
    put(&place, &from.path().join("f"), "g").unwrap();
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 2);
    let folder = tempfile::TempDir::new().unwrap();
    let all = place.get("/etc".as_ref()).unwrap();
    Local.put(all, &folder.path().join("etc")).unwrap();
    assert!(folder.path().join("etc/passwd").exists());
    let mut stream = Vec::new();
    place.get("/etc".as_ref()).unwrap().into_tar().read_to_end(&mut stream).unwrap();
    assert!(stream.windows(11).any(|part| part == b"etc/passwd\0"));
}

fn links_lead_nowhere_else(root: &BusyboxRoot) {
    let from = file("new");
    let outside = file("precious");
    let place = Chroot::new(root.path());
    let up = format!("../../../../../..{}", outside.path().display());
    for (name, target) in [("abs", outside.path()), ("up", up.as_ref())] {
        symlink(target, root.path().join(name)).unwrap();
        // Inside there is no such folder, so the link itself is replaced, and beyond it is nothing.
        let beyond = put(&place, &from.path().join("f"), &format!("/{name}/f"));
        assert!(refused(beyond, root).contains("No such file"));
        assert!(content(&place, &format!("/{name}/f")).is_err());
        put(&place, &from.path().join("f"), &format!("/{name}")).unwrap();
        assert!(root.path().join(name).symlink_metadata().unwrap().is_file());
    }
    // One that is there inside leads there.
    symlink("/etc", root.path().join("link")).unwrap();
    put(&place, &from.path().join("f"), "/link").unwrap();
    assert_eq!(fs::read_to_string(root.path().join("etc/f")).unwrap(), "new");
    put(&place, &from.path().join("f"), "/../../../h").unwrap();
    assert_eq!(fs::read_to_string(root.path().join("h")).unwrap(), "new");
    assert_eq!(fs::read_to_string(outside.path().join("f")).unwrap(), "precious");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

fn what_a_command_would_see(root: &BusyboxRoot) {
    let from = file("new");
    let shared = file("shared");
    let place = Chroot::new(root.path()).mount(Mount::bind(shared.path()).at("/mnt"));
    assert_eq!(content(&place, "/mnt/f").unwrap(), "shared");
    put(&place, &from.path().join("f"), "/mnt/g").unwrap();
    assert_eq!(fs::read_to_string(shared.path().join("g")).unwrap(), "new");
    assert!(!root.path().join("mnt").exists());

    let kept = tempfile::TempDir::new().unwrap();
    let place = Chroot::new(root.path()).overlay(Overlay::Keep(kept.path().to_owned()));
    put(&place, &from.path().join("f"), "/tmp").unwrap();
    assert_eq!(content(&place, "/tmp/f").unwrap(), "new");
    assert!(!root.path().join("tmp/f").exists());
}

fn what_would_be_lost(root: &BusyboxRoot) {
    let from = file("new");
    let put = |place: Chroot, to: &str| refused(put(&place, &from.path().join("f"), to), root);
    let place = || Chroot::new(root.path());
    assert_eq!(
        put(place().overlay(Overlay::Vanish), "/tmp"),
        "cannot copy to `chroot:ROOT::/tmp`: what is written in its overlay would vanish at once; \
         keep it with `overlay=DIR`, or leave the overlay out"
    );
    assert_eq!(
        put(place().mount(Mount::tmpfs("/tmp")), "/tmp/f"),
        "cannot copy to `chroot:ROOT::/tmp/f`: what is mounted there is in memory and ends with each command; no hint"
    );
    assert_eq!(
        put(place().read_only(true), "/tmp"),
        "cannot copy to `chroot:ROOT::/tmp`: Read-only file system (os error 30); leave `read-only` out"
    );
    assert_eq!(
        put(place(), "/nowhere/f"),
        "cannot copy to `chroot:ROOT::/nowhere/f`: No such file or directory (os error 2); no hint"
    );
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn another_user_is_the_owner() {
    only_root!();
    let root = crate::busybox_root!();
    let from = file("new");
    let place = Chroot::new(root.path()).user("guest");
    put(&place, &from.path().join("f"), "/tmp").unwrap();
    assert_eq!(fs::metadata(root.path().join("tmp/f")).unwrap().uid(), 1000);
    assert!(put(&place, &from.path().join("f"), "/etc").is_err());
    assert!(!root.path().join("etc/f").exists());
}

#[test]
fn another_user_without_tar() {
    only_root!();
    let root = match BusyboxRoot::new() {
        Ok(root) => root.without(&["bin/tar"]),
        Err(reason) => testkit::skip!("{reason}"),
    };
    let folder = tempfile::TempDir::new().unwrap();
    let from = folder.path().join("from");
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("d/a\n'b"), [7; 200_000]).unwrap();
    fs::write(from.join("-n"), "").unwrap();
    symlink("-n", from.join("l")).unwrap();
    let place = Chroot::new(root.path()).user("guest");
    put(&place, &from, "/tmp").unwrap();
    let arrived = fs::metadata(root.path().join("tmp/from/d/a\n'b")).unwrap();
    assert_eq!((arrived.uid(), arrived.len()), (1000, 200_000));
    let back = folder.path().join("back");
    let to = back.clone();
    within_deadline("a copy", move || Local.put(place.get("/tmp/from".as_ref())?, &to)).unwrap();
    assert_eq!(fs::read(back.join("d/a\n'b")).unwrap(), [7; 200_000]);
    assert_eq!(fs::read_link(back.join("l")).unwrap(), Path::new("-n"));
    let denied = Chroot::new(root.path()).user("guest");
    let error = refused(put(&denied, &from, "/root"), &root);
    assert!(error.contains("denied"), "{error}");
}
