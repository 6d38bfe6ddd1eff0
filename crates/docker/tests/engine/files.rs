//! Files into a container: by its own `tar` or by the archive endpoint, with the same result.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{DEADLINE, Proxy, wait_until, within_deadline};
use thither_docker::Container;
use thither_place::archive::Event;
use thither_place::{Archive, Error, Local, Place};

use crate::common::{handle, shared, there, through, told};

/// A folder in which a script of shell has made `a`.
fn made(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-euc", &format!("umask 022; {script}")]).current_dir(folder.path());
    assert!(command.status().unwrap().success(), "{script}");
    folder
}

fn archive(folder: &TempDir) -> Archive {
    Local.get(&folder.path().join("a")).unwrap()
}

#[track_caller]
fn put(place: &Container, archive: Archive, path: &str) -> Result<(), Error> {
    let (place, path) = (place.clone(), path.to_owned());
    let what = format!("a copy to {path}");
    within_deadline(&what, move || place.put(archive, Path::new(&path)))
}

/// Kind, mode, owner, number of names, time and name of all that is at a path in a container.
#[track_caller]
fn seen(container: &testkit::Container<'_>, path: &str) -> String {
    let script =
        "find \"$1\" | sort | while IFS= read -r f; do stat -c '%A %u:%g %h @%Y %N' \"$f\"; done";
    let (code, output) = container.exec(&["sh", "-c", script, "sh", path]);
    assert_eq!(code, 0, "{output}");
    output
}

/// Which ways were tried, in alphabetical order, by what an engine was asked for.
fn ways(proxy: &Proxy) -> String {
    let requests = proxy.requests();
    let way = |request: &Vec<u8>| {
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next().unwrap_or_default();
        match () {
            () if line.starts_with("PUT") && line.contains("/archive") => Some("archive"),
            () if line.contains("/exec ") && text.contains("tar -x") => Some("tar"),
            () if line.contains("/exec ") => Some("rename"),
            () => None,
        }
    };
    let mut ways: Vec<_> = requests.iter().filter_map(way).collect();
    ways.sort_unstable();
    ways.join(" ")
}

const TREE: &str = "mkdir -p a/d/e a/dark; echo x > a/d/e/x; ln a/d/e/x a/same; ln -s d/e a/link
     printf tool > a/tool; printf '#' > 'a/-n  $x'; printf b > \"$(printf 'a/\\377')\"
     chmod 4755 a/tool; chmod 1777 a/d; chmod 555 a/d/e; chmod 000 a/dark; chmod 750 a
     long=a/$(printf '%0200d' 0); mkdir $long; touch $long/$(printf '%0200d' 0)
     find a -exec touch -h -d @1000000000.75 {} +";

/// Copies `a` of a folder to `/srv/new` of a container, and tells by which way.
#[track_caller]
fn check(
    engine: &testkit::Engine,
    container: &testkit::Container<'_>,
    folder: &TempDir,
    expected: &str,
) {
    let proxy = Proxy::unix(engine.socket());
    let place = Container::new(through(&proxy), container.name());
    put(&place, archive(folder), "/srv/new").unwrap();
    assert_eq!(ways(&proxy), expected);
}

fn with(engine: &testkit::Engine, patch: Value) -> testkit::Container<'_> {
    engine.container(&["sleep", "inf"]).with(patch).start()
}

#[track_caller]
fn prepare(container: &testkit::Container<'_>, script: &str) {
    let (code, said) = container.exec(&["sh", "-euc", script]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn both_ways_bring_the_same() {
    let engine = shared!();
    let folder = made(TREE);
    let [by_tar, by_engine] =
        [(json!({}), "tar"), (without_a_right(), "archive rename")].map(|(patch, expected)| {
            let container = with(engine, patch);
            prepare(&container, "mkdir /srv; chgrp 7 /srv; chmod 2777 /srv");
            check(engine, &container, &folder, expected);
            seen(&container, "/srv/new")
        });
    // But the times of links: busybox's tar sets none.
    let without_links = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('l')).map(str::to_owned).collect()
    };
    assert_eq!(without_links(&by_tar), without_links(&by_engine));
    assert_eq!(by_tar.matches("lrwxrwxrwx 0:0 1 @").count(), 1, "{by_tar}");
    for line in [
        "drwxr-x--- 0:0 5 @1000000000 /srv/new",
        "drwxrwxrwt 0:0 3 @1000000000 /srv/new/d",
        "dr-xr-xr-x 0:0 2 @1000000000 /srv/new/d/e",
        "-rw-r--r-- 0:0 2 @1000000000 /srv/new/same",
        "-rwxr-xr-x 0:0 1 @1000000000 /srv/new/tool",
        "d--------- 0:0 2 @1000000000 /srv/new/dark",
    ] {
        assert!(by_tar.lines().any(|it| it.replace('\'', "") == line), "{line}: {by_tar}");
    }
}

/// A container whose root may not do all that root usually may.
fn without_a_right() -> Value {
    json!({"HostConfig": {"CapDrop": ["MKNOD"]}})
}

#[test]
fn a_container_decides_the_way() {
    let engine = shared!();
    let folder = made("mkdir a; echo x > a/x");
    let after = |patch: Value, script: &str, expected: &str| {
        let container = with(engine, patch);
        prepare(&container, script);
        check(engine, &container, &folder, expected);
        assert!(seen(&container, "/srv/new").contains(" 0:0 "), "{expected}");
        container
    };
    // Whoever its commands are, and wherever they start.
    let somebody = json!({"User": "1000:1000", "WorkingDir": "/tmp"});
    let make = "mkdir /srv";
    let exec = after(json!({}), make, "tar");
    // The same again is merged.
    check(engine, &exec, &folder, "tar");
    assert_eq!(names(&exec, "/srv"), "./new ./new/a ./new/a/x ./new/x ");
    after(json!({"HostConfig": {"CapDrop": ["ALL"]}}), make, "archive rename");
    // A tar is asked whether it is one.
    let broken =
        "mkdir /srv; rm /bin/tar; printf '#!/bin/sh\\nexit 127' > /bin/tar; chmod +x /bin/tar";
    after(json!({}), broken, "archive rename tar");
    after(json!({}), "mkdir /srv; rm /bin/tar", "archive rename tar");
    let volume = json!({"HostConfig": {"ReadonlyRootfs": true}, "Volumes": {"/srv": {}}});
    after(volume, "true", "archive rename");
    let container = with(engine, somebody);
    let root = Container::new(handle(engine), container.name());
    put(&root, archive(&folder), "/etc").unwrap();
    assert!(seen(&container, "/etc/a").starts_with("drwxr-xr-x 0:0 "));
    // A path that does not begin with `/` begins where they start.
    put(&root, archive(&folder), "new").unwrap();
    assert!(seen(&container, "/tmp/new").starts_with("drwxr-xr-x 0:0 "));
}

#[test]
fn what_does_not_run_is_left_to_the_engine() {
    let engine = shared!();
    let folder = made("mkdir a; echo x > a/x");
    let created = engine.container(&["sleep", "inf"]).create();
    check_at_root(engine, &created, &folder, "archive");
    let paused = engine.container(&["sleep", "inf"]).start();
    paused.pause();
    check_at_root(engine, &paused, &folder, "archive");
    paused.unpause();
    let argv = ["/busybox", "sleep", "inf"];
    let empty = engine.container(&argv).image("empty").start();
    check_at_root(engine, &empty, &folder, "archive tar");
    // One file is there sooner by the engine.
    let file = made("echo x > a");
    let running = engine.container(&["sleep", "inf"]).start();
    check_at_root(engine, &running, &file, "archive rename");
}

#[track_caller]
fn check_at_root(
    engine: &testkit::Engine,
    container: &testkit::Container<'_>,
    folder: &TempDir,
    expected: &str,
) {
    let proxy = Proxy::unix(engine.socket());
    let place = Container::new(through(&proxy), container.name());
    put(&place, archive(folder), "/").unwrap();
    assert_eq!(ways(&proxy), expected);
    let mut back = place.get(Path::new("/a")).unwrap();
    assert_eq!(back.root().unwrap().kind, archive(folder).root().unwrap().kind);
}

/// All names that are at a place, temporary ones too.
#[track_caller]
fn names(container: &testkit::Container<'_>, path: &str) -> String {
    container
        .exec(&["sh", "-c", "cd \"$1\" && find . -mindepth 1 | sort | tr '\\n' ' '", "sh", path])
        .1
}

/// An error with its causes, with `NAME` for the container's and `XXXXXXXX` in a temporary one.
fn said(container: &testkit::Container<'_>, error: &Error) -> String {
    let mut text = told(error).replace(container.name(), "NAME");
    if let Some(at) = text.find(".thither-") {
        text.replace_range(at + 9..at + 17, "XXXXXXXX");
    }
    text
}

/// Copies to `/srv` of a container, which has `/srv/a/old`, and compares what is said; nothing has changed then.
#[track_caller]
fn check_failure(
    container: &testkit::Container<'_>,
    place: &Container,
    from: Archive,
    expected: Expect,
) {
    let error = put(place, from, "/srv").unwrap_err();
    expected.assert_eq(&said(container, &error));
    assert_eq!(names(container, "/srv"), "./a ./a/old ");
}

#[test]
fn a_full_disk() {
    let engine = shared!();
    let small = json!({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"});
    let driver = json!({"DriverConfig": {"Name": "local", "Options": small}});
    let mount = json!({"Type": "volume", "Target": "/srv", "VolumeOptions": driver});
    for (patch, expected) in [
        (
            json!({}),
            expect![
                "cannot copy to `docker:NAME::/srv`: tar: write error: No space left on device; exit code 125"
            ],
        ),
        (
            without_a_right(),
            expect![
                "cannot copy to `docker:NAME::/srv`: Error processing tar file(exit status 1): write /srv/.a.thither-XXXXXXXX/large: no space left on device; exit code 125"
            ],
        ),
    ] {
        let container = engine
            .container(&["sleep", "inf"])
            .with(patch)
            .with(json!({"HostConfig": {"Mounts": [mount]}}))
            .start();
        prepare(&container, "mkdir /srv/a; touch /srv/a/old");
        let folder =
            made("mkdir a; echo x > a/b; head -c 3000000 /dev/zero > a/large; echo x > a/z");
        check_failure(&container, &there(engine, &container), archive(&folder), expected);
    }
}

#[test]
fn what_may_not_be_written_to() {
    let engine = shared!();
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("a")).unwrap();
    std::fs::write(outside.path().join("a/old"), "").unwrap();
    let bind = format!("{}:/srv:ro", outside.path().display());
    let container = with(engine, json!({"HostConfig": {"Binds": [bind]}}));
    let folder = made("mkdir a");
    check_failure(
        &container,
        &there(engine, &container),
        archive(&folder),
        expect![
            "cannot copy to `docker:NAME::/srv`: mounted volume is marked read-only; exit code 125"
        ],
    );
    let only_read = with(engine, json!({"HostConfig": {"ReadonlyRootfs": true, "Binds": [bind]}}));
    check_failure(
        &only_read,
        &there(engine, &only_read),
        archive(&folder),
        expect![
            "cannot copy to `docker:NAME::/srv`: mounted volume is marked read-only; exit code 125"
        ],
    );
}

#[test]
fn kinds_that_do_not_match() {
    let engine = shared!();
    let container = with(engine, json!({}));
    prepare(&container, "mkdir /srv; mkdir /srv/a; touch /srv/a/old");
    let folder = made("mkdir -p a/old; echo x > a/b");
    let place = there(engine, &container);
    check_failure(
        &container,
        &place,
        archive(&folder),
        expect![
            "cannot copy to `docker:NAME::/srv`: cannot replace /srv/a/old: it is no directory; exit code 125"
        ],
    );
    let error = put(&place, archive(&folder), "/srv/a/old").unwrap_err();
    expect!["cannot copy to `docker:NAME::/srv/a/old`: cannot replace /srv/a/old: it is no directory; exit code 125"].assert_eq(&said(&container, &error));
    let error = put(&place, archive(&folder), "/srv/none/b").unwrap_err();
    expect!["cannot copy to `docker:NAME::/srv/none/b`: No such file or directory (os error 2); exit code 125"].assert_eq(&said(&container, &error));
    let error = put(&place, archive(&folder), "/srv/none/").unwrap_err();
    expect!["cannot copy to `docker:NAME::/srv/none/`: No such file or directory (os error 2); exit code 125"].assert_eq(&said(&container, &error));
    assert_eq!(names(&container, "/srv"), "./a ./a/old ");
}

/// A directory with more than fits into all buffers on the way.
fn large() -> TempDir {
    made("mkdir a; head -c 50000000 /dev/zero > a/large; echo x > a/z")
}

/// Does something once content moves.
fn midway(from: Archive, mut act: impl FnMut() -> io::Result<()> + Send + 'static) -> Archive {
    let mut moved = 0;
    from.watched(move |event| {
        let Event::Content(bytes) = event else { return Ok(()) };
        let before = moved;
        moved += bytes;
        if before < 2_000_000 && moved >= 2_000_000 { act() } else { Ok(()) }
    })
}

#[test]
fn whoever_watches_ends_it() {
    let engine = shared!();
    let container = with(engine, json!({}));
    prepare(&container, "mkdir /srv; mkdir /srv/a; touch /srv/a/old");
    let folder = large();
    let from = midway(archive(&folder), || Err(io::Error::other("enough")));
    check_failure(
        &container,
        &there(engine, &container),
        from,
        expect!["cannot copy to `docker:NAME::/srv`: enough; exit code 125"],
    );
}

#[test]
fn a_connection_that_is_lost() {
    let engine = shared!();
    let container = with(engine, json!({}));
    prepare(&container, "mkdir /srv; mkdir /srv/a; touch /srv/a/old");
    let proxy = Arc::new(Proxy::unix(engine.socket()));
    let place = Container::new(through(&proxy), container.name());
    let cut = Arc::clone(&proxy);
    let folder = large();
    let from = midway(archive(&folder), move || {
        cut.cut();
        Ok(())
    });
    let error = put(&place, from, "/srv").unwrap_err();
    expect!["cannot copy to `docker:NAME::/srv`: the connection was lost; exit code 125"]
        .assert_eq(&said(&container, &error));
    // What runs over there finds out by itself.
    let is_as_before = || names(&container, "/srv") == "./a ./a/old ";
    wait_until(DEADLINE, "it tidies up", is_as_before);
}

/// Copies while something happens to the container or its engine, and tells what is said.
#[track_caller]
fn put_while(
    engine: &Arc<testkit::Engine>,
    container: &testkit::Container<'_>,
    act: impl Fn(&testkit::Engine) + Send + 'static,
) -> Error {
    let place = Container::new(handle(engine).limit(Duration::from_secs(1)), container.name());
    let (folder, there) = (large(), Arc::clone(engine));
    let from = midway(archive(&folder), move || {
        act(&there);
        Ok(())
    });
    put(&place, from, "/srv").unwrap_err()
}

#[test]
fn what_happens_to_the_container_meanwhile() {
    let engine = match testkit::Engine::own() {
        Ok(engine) => Arc::new(engine),
        Err(reason) => testkit::skip!("{reason}"),
    };
    let begin = || {
        let container = with(&engine, json!({}));
        prepare(&container, "mkdir /srv; mkdir /srv/a; touch /srv/a/old");
        let call = |verb: &str| format!("/containers/{}/{verb}", container.name());
        let calls = [call("pause"), call("kill")];
        (container, calls)
    };
    let (container, [pause, _]) = begin();
    let post =
        |call: String| move |engine: &testkit::Engine| drop(engine.post(&call, &Value::Null));
    let error = put_while(&engine, &container, post(pause));
    expect!["cannot copy to `docker:NAME::/srv`: the container was paused; exit code 125"]
        .assert_eq(&said(&container, &error));
    container.unpause();
    let is_as_before = || names(&container, "/srv") == "./a ./a/old ";
    wait_until(DEADLINE, "it tidies up", is_as_before);

    let (container, [_, kill]) = begin();
    let error = said(&container, &put_while(&engine, &container, post(kill)));
    // The engine may know of the command's end first.
    let ends = ["the container has ended", "ended with exit code 137"];
    assert!(ends.iter().any(|end| error.ends_with(&format!("{end}; exit code 125"))), "{error}");

    let (container, _) = begin();
    let error = put_while(&engine, &container, testkit::Engine::kill);
    expect!["connection to `docker:NAME` lost; exit code 125"].assert_eq(&said(&container, &error));
}

#[test]
fn what_means_no_good() {
    let engine = shared!();
    let container = with(engine, json!({}));
    prepare(
        &container,
        "mkdir /srv /precious; chmod 700 /precious; mkdir /srv/a; touch /srv/a/old; touch -d @5 /precious",
    );
    let place = there(engine, &container);
    let check = |parts: &[(&str, u8, &str)], said: Expect| {
        let tar = tar(parts);
        check_failure(&container, &place, Archive::from_tar(io::Cursor::new(tar), "a"), said);
        assert_eq!(seen(&container, "/precious").lines().count(), 1);
        assert!(seen(&container, "/precious").contains("drwx------ 0:0 2 @5 "));
    };
    let root = ("a/", b'5', "");
    check(
        &[root, ("a/l", b'2', "/precious"), ("a/l/f", b'0', "")],
        expect![
            "cannot copy to `docker:NAME::/srv`: bad archive: `l/f` leads through a symbolic link of the archive; exit code 125"
        ],
    );
    check(
        &[root, ("a/l/", b'5', ""), ("a/l", b'2', "/precious")],
        expect![
            "cannot copy to `docker:NAME::/srv`: bad archive: `l` leads through a symbolic link of the archive; exit code 125"
        ],
    );
    check(
        &[root, ("/precious/f", b'0', "")],
        expect![
            "cannot copy to `docker:NAME::/srv`: bad archive: `/precious/f` is an absolute name; exit code 125"
        ],
    );
    check(
        &[root, ("a/../../precious/f", b'0', "")],
        expect![
            "cannot copy to `docker:NAME::/srv`: bad archive: `a/../../precious/f` has `..` in its name; exit code 125"
        ],
    );
    check(
        &[root, ("a/h", b'1', "/precious")],
        expect![
            "cannot copy to `docker:NAME::/srv`: bad archive: `/precious` is an absolute name; exit code 125"
        ],
    );
    // Cut short.
    check(
        &[root, ("a/f", b'0', ""), ("", b'x', "")],
        expect![
            "cannot copy to `docker:NAME::/srv`: the stream ended before the archive did; exit code 125"
        ],
    );
}

/// A tar stream with these names, types and links; one without a name ends it before its end.
fn tar(parts: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, flag, link) in parts {
        if name.is_empty() {
            return bytes;
        }
        let mut block = [0; 512];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, b"0004755\0");
        put(124, b"00000000000\0");
        put(136, b"14717003000\0");
        put(148, b"        ");
        put(156, &[*flag]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
