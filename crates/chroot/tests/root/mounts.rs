//! What a root has mounted: as its list says, in the list's order, and nothing else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use expect_test::{Expect, expect};
use tempfile::TempDir;
use testkit::BusyboxRoot;
use thither_chroot::{Chroot, Mount, Overlay, Source, default_mounts};

use crate::{
    as_both, assert_clean, busybox_root, listing, mounts_below, printed_in, refusal, sh,
    with_mounts,
};

as_both! {
    a_directory_and_a_file,
    at_its_own_path,
    read_only_ones,
    a_tmpfs_with_options,
    options_that_no_tmpfs_has,
    mount_points_in_a_tmpfs_are_made_there,
    proc_and_sysfs_elsewhere,
    one_source_at_several_destinations,
    defaults_can_be_replaced,
    defaults_can_be_left_out,
    sources_that_are_missing,
    mount_points_that_are_missing,
    the_order_of_the_list,
    destinations_that_lead_up,
    odd_names,
}

/// A folder of this machine with `file` and `folder/inner`, which say so.
fn outside() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("file"), "file\n").unwrap();
    fs::write(folder.path().join("folder/inner"), "inner\n").unwrap();
    folder
}

#[track_caller]
fn check_refused(root: &Chroot, expected: Expect) {
    let before = listing(root.path());
    expected.assert_eq(&refusal(root, sh("")));
    assert_clean(root.path(), &before);
}

fn a_directory_and_a_file(root: &BusyboxRoot) {
    let (folder, before) = (outside(), listing(root.path()));
    let place = Chroot::new(root.path())
        .mount(Mount::bind(folder.path()).at("/srv/there"))
        .mount(Mount::bind(folder.path().join("file")).at("/etc/motd"));
    let script =
        "cat /etc/motd /srv/there/folder/inner; echo new >/srv/there/new; echo x >>/etc/motd";
    assert_eq!(printed_in(&place, script), "file\ninner\n");
    assert_eq!(fs::read_to_string(folder.path().join("new")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "file\nx\n");
    assert_clean(root.path(), &before);
    assert_eq!(mounts_below(folder.path()), [""; 0]);
}

fn at_its_own_path(root: &BusyboxRoot) {
    let (folder, before) = (outside(), listing(root.path()));
    let place = Chroot::new(root.path()).mount(Mount::bind(folder.path()));
    let text = printed_in(&place, &format!("cat {}/file", folder.path().display()));
    assert_eq!(text, "file\n");
    assert_clean(root.path(), &before);
}

fn read_only_ones(root: &BusyboxRoot) {
    let folder = outside();
    let place = Chroot::new(root.path())
        .mount(Mount::bind(folder.path()).at("/ro").read_only())
        .mount(Mount::bind(folder.path()).at("/rro").read_only().recursive())
        .mount(Mount::bind(folder.path().join("file")).at("/etc/motd").read_only())
        .mount(Mount::tmpfs("/tmpfs").read_only())
        .mount(Mount::bind(folder.path()).at("/rw"));
    let script = "for path in /ro/new /rro/new /etc/motd /tmpfs/new; do
            (echo x >$path) 2>&1 | grep -c 'Read-only file system'
        done
        cat /ro/file; echo x >/rw/new; cat /ro/new; mkdir /in-the-root && rmdir /in-the-root";
    assert_eq!(printed_in(&place, script), "1\n1\n1\n1\nfile\nx\n");
}

const BELOW: &str = "mkdir -p /mnt/source/below; mount -t tmpfs thither-test /mnt/source/below
    echo below >/mnt/source/below/file; chmod 777 /mnt/source /mnt/source/below;";

#[track_caller]
fn check_what_is_mounted_below(root: &BusyboxRoot) {
    let source = || Mount::bind("/mnt/source").recursive();
    let place = Chroot::new(root.path()).mount(source().at("/all"));
    let script = "cat /all/below/file; echo x >/all/below/new";
    assert_eq!(printed_in(&place, script), "below\n");
    assert_eq!(fs::read_to_string("/mnt/source/below/new").unwrap(), "x\n");
    let place = Chroot::new(root.path()).mount(source().at("/all").read_only());
    let script = "cat /all/below/file; for path in /all/new /all/below/new; do
            (echo y >$path) 2>&1 | grep -c 'Read-only file system'
        done";
    assert_eq!(printed_in(&place, script), "below\n1\n1\n");
    assert_eq!(fs::read_to_string("/mnt/source/below/new").unwrap(), "x\n");
}

#[test]
fn what_is_mounted_below_a_source() {
    with_mounts!(root, BELOW);
    let root = busybox_root!();
    check_what_is_mounted_below(&root);
    let place = Chroot::new(root.path()).mount(Mount::bind("/mnt/source").at("/one"));
    assert_eq!(printed_in(&place, "ls /one; ls /one/below"), "below\n");
}

#[test]
fn what_is_mounted_below_a_source_of_a_user() {
    with_mounts!(user, BELOW);
    let root = busybox_root!();
    check_what_is_mounted_below(&root);
    // What it covers is not the user's to see.
    let place = Chroot::new(root.path()).mount(Mount::bind("/mnt/source").at("/one"));
    check_refused(
        &place,
        expect![[r#"
            cannot find the source of the mount `/mnt/source` on `/one` in `chroot:ROOT`: Invalid argument (os error 22)
            hint: something is mounted below it, and an ordinary user can only take that along: make it recursive"#]],
    );
}

#[track_caller]
fn check_flags_are_kept(root: &BusyboxRoot) {
    let place = Chroot::new(root.path())
        .mount(Mount::bind("/mnt/locked").at("/ro").read_only())
        .mount(Mount::bind("/mnt/locked").at("/rro").read_only().recursive())
        .mount(Mount::bind("/mnt/locked").at("/rw"));
    let script = "grep -E ' /r+[ow] ' /proc/mounts | cut -d ' ' -f 2,4 | cut -d , -f 1-5";
    let expected = ["/ro ro", "/rro ro", "/rw rw"]
        .map(|start| format!("{start},nosuid,nodev,noexec,noatime\n"));
    assert_eq!(printed_in(&place, script), expected.concat());
}

const LOCKED: &str =
    "mkdir /mnt/locked; mount -t tmpfs -o nosuid,nodev,noexec,noatime,mode=777 x /mnt/locked;";

#[test]
fn flags_of_a_source_are_kept() {
    with_mounts!(root, LOCKED);
    check_flags_are_kept(&busybox_root!());
}

#[test]
fn flags_of_a_source_that_a_user_may_not_change_are_kept() {
    with_mounts!(user, LOCKED);
    check_flags_are_kept(&busybox_root!());
}

fn tmpfs_with(options: &str) -> Mount {
    let source = Source::Tmpfs(Some(options.into()));
    Mount { source, ..Mount::tmpfs("/new/tmpfs") }
}

fn a_tmpfs_with_options(root: &BusyboxRoot) {
    let before = listing(root.path());
    let place = Chroot::new(root.path()).mount(tmpfs_with("size=64k,mode=0750"));
    let script = "stat -c %a /new/tmpfs
        dd if=/dev/zero of=/new/tmpfs/zeroes bs=1k count=100 2>&1 | grep -c 'No space left'
        stat -c %s /new/tmpfs/zeroes";
    assert_eq!(printed_in(&place, script), "750\n1\n65536\n");
    let place = Chroot::new(root.path()).mount(Mount::tmpfs("/new/tmpfs"));
    assert_eq!(printed_in(&place, "stat -c %a /new/tmpfs"), "1777\n");
    assert_clean(root.path(), &before);
}

fn options_that_no_tmpfs_has(root: &BusyboxRoot) {
    for options in ["size=much", "no-such-option", "no-such-option=1"] {
        let place = Chroot::new(root.path()).mount(tmpfs_with(options));
        check_refused(
            &place,
            expect![
                "cannot mount `tmpfs` on `/new/tmpfs` in `chroot:ROOT`: Invalid argument (os error 22)"
            ],
        );
    }
    let place = Chroot::new(root.path()).mount(tmpfs_with("size=1\0"));
    let before = listing(root.path());
    assert!(refusal(&place, sh("")).contains("NUL"));
    assert_clean(root.path(), &before);
}

fn mount_points_in_a_tmpfs_are_made_there(root: &BusyboxRoot) {
    let (folder, before) = (outside(), listing(root.path()));
    let place = Chroot::new(root.path())
        .mount(Mount::tmpfs("/new"))
        .mount(Mount::bind(folder.path()).at("/new/a/folder"))
        .mount(Mount::bind(folder.path().join("file")).at("/new/a/file"))
        .mount(Mount::tmpfs("/new/a/b/c"))
        .mount(Mount::bind(folder.path().join("file")).at("/new/a/b/c/d/file"));
    let script = "cat /new/a/folder/file /new/a/file /new/a/b/c/d/file; stat -c %a /new/a /new/a/b";
    assert_eq!(printed_in(&place, script), "file\nfile\nfile\n755\n755\n");
    let place = Chroot::new(root.path())
        .mount(Mount::tmpfs("/tmp"))
        .mount(Mount::bind(folder.path()).at("/tmp/a").create(false));
    assert!(refusal(&place, sh("")).contains("has no such mount point"));
    assert_clean(root.path(), &before);
}

fn proc_and_sysfs_elsewhere(root: &BusyboxRoot) {
    let before = listing(root.path());
    let place = Chroot::new(root.path())
        .mounts([Mount::proc().at("/new/proc"), Mount::sysfs().at("/new/sys").read_only()]);
    let script = "cat /new/proc/self/comm; ls /proc /sys; ls -d /new/sys/kernel; \
        grep -c '^sysfs /new/sys sysfs ro,nosuid,nodev,noexec' /new/proc/mounts";
    assert_eq!(printed_in(&place, script), "cat\n/proc:\n\n/sys:\n/new/sys/kernel\n1\n");
    // Theirs alone: what pychroot mounts at `/ROOT/proc` if no destination is named.
    let place = Chroot::new(root.path()).mounts([Mount::parse("proc")]);
    assert_eq!(printed_in(&place, "ls -d /proc/self; cat /proc/self/comm"), "/proc/self\ncat\n");
    assert_clean(root.path(), &before);
}

fn one_source_at_several_destinations(root: &BusyboxRoot) {
    let folder = outside();
    let path = folder.path().display();
    let mounts = ["/a", "/b/c", "/etc/d"].map(|at| Mount::parse(format!("{path}:{at}")));
    let place = mounts.into_iter().fold(Chroot::new(root.path()), Chroot::mount);
    assert_eq!(printed_in(&place, "cat /a/file /b/c/file /etc/d/file"), "file\nfile\nfile\n");
}

fn defaults_can_be_replaced(root: &BusyboxRoot) {
    let folder = outside();
    // In its place in the list: the mount at /dev/shm comes after it, and its mount point is made in it.
    let place = Chroot::new(root.path()).mount(Mount::tmpfs("/dev/"));
    assert_eq!(printed_in(&place, "ls /dev; grep -c ' /dev/shm ' /proc/mounts"), "shm\n1\n");
    let file = folder.path().join("file");
    let place = Chroot::new(root.path()).mount(Mount::bind(&file).at("etc/resolv.conf"));
    assert_eq!(printed_in(&place, "cat /etc/resolv.conf"), "file\n");
    let count = "grep -c ' /etc/resolv.conf ' /proc/mounts";
    assert_eq!(printed_in(&place, count), "1\n");
}

fn defaults_can_be_left_out(root: &BusyboxRoot) {
    let before = listing(root.path());
    let bare = Chroot::new(root.path()).mounts([]);
    assert_eq!(printed_in(&bare, "ls -A /proc /sys /dev; pwd"), "/dev:\n\n/proc:\n\n/sys:\n/\n");
    let some = default_mounts().into_iter().filter(|mount| *mount != Mount::sysfs());
    let some = Chroot::new(root.path()).mounts(some).mount(Mount::tmpfs("/new"));
    let script = "ls /sys; cut -d ' ' -f 2 /proc/mounts | grep -Ev '^/dev/.'";
    let points = "/\n/dev\n/proc\n/etc/resolv.conf\n/new\n";
    assert_eq!(printed_in(&some, script), points);
    assert_clean(root.path(), &before);
}

fn sources_that_are_missing(root: &BusyboxRoot) {
    let before = listing(root.path());
    let with = |mount| Chroot::new(root.path()).mount(mount);
    check_refused(
        &with(Mount::bind("/no/such/source").at("/x")),
        expect![
            "cannot mount `/no/such/source` on `/x` in `chroot:ROOT`: No such file or directory (os error 2)"
        ],
    );
    check_refused(
        &with(Mount::bind("/etc/passwd/x").at("/x")),
        expect![
            "cannot mount `/etc/passwd/x` on `/x` in `chroot:ROOT`: Not a directory (os error 20)"
        ],
    );
    let empty = refusal(&with(Mount::bind("").at("/x")), sh(""));
    assert!(empty.starts_with("cannot mount `` on `/x` in `chroot:ROOT`: "), "{empty}");
    for source in ["/no/such/source", "/etc/passwd/x"] {
        let place = with(Mount::bind(source).at("/x").optional());
        assert_eq!(printed_in(&place, "[ -e /x ] || ls -d /proc/self"), "/proc/self\n");
    }
    assert_clean(root.path(), &before);
}

fn mount_points_that_are_missing(root: &BusyboxRoot) {
    let folder = outside();
    let with = |mount: Mount| Chroot::new(root.path()).mount(mount.at("/x").create(false));
    check_refused(
        &with(Mount::bind(folder.path()).at("/x")),
        expect![[r#"
            cannot make the missing mount point `ROOT/x` in `chroot:ROOT`: No such file or directory (os error 2)
            hint: make it, with mkdir -p, or let it be made"#]],
    );
    let place = with(Mount::bind(folder.path()).optional());
    assert_eq!(printed_in(&place, "[ -e /x ] || echo none"), "none\n");
    // Of the wrong kind: a file on a directory, and the other way round.
    let file = folder.path().join("file");
    check_refused(
        &Chroot::new(root.path()).mount(Mount::bind(&file).at("/tmp")),
        expect!["cannot use the mount point `ROOT/tmp` in `chroot:ROOT`: is a directory"],
    );
    let passwd = Mount::bind(folder.path()).at("/etc/passwd");
    check_refused(
        &Chroot::new(root.path()).mount(passwd),
        expect!["cannot use the mount point `ROOT/etc/passwd` in `chroot:ROOT`: not a directory"],
    );
    fs::create_dir(root.path().join("x")).unwrap();
    assert_eq!(printed_in(&with(Mount::bind(folder.path())), "cat /x/file"), "file\n");
}

fn the_order_of_the_list(root: &BusyboxRoot) {
    let (folder, other, before) = (outside(), outside(), listing(root.path()));
    fs::write(other.path().join("inner"), "other\n").unwrap();
    let [below, above] =
        [Mount::bind(other.path()).at("/m/folder"), Mount::bind(folder.path()).at("/m")];
    let place = |mounts: [&Mount; 2]| {
        mounts.into_iter().cloned().fold(Chroot::new(root.path()), Chroot::mount)
    };
    assert_eq!(printed_in(&place([&above, &below]), "cat /m/folder/inner"), "other\n");
    assert_eq!(printed_in(&place([&below, &above]), "cat /m/folder/inner"), "inner\n");
    check_refused(
        &place([&above, &Mount::tmpfs("/m/missing")]),
        expect![[r#"
        cannot mount `tmpfs` on `/m/missing` in `chroot:ROOT`: an earlier mount is there, and has no such mount point
        hint: mount it elsewhere, or before"#]],
    );
    let left_out = place([&above, &Mount::tmpfs("/m/missing").optional()]);
    assert_eq!(printed_in(&left_out, "ls /m"), "file\nfolder\n");
    assert_eq!(listing(folder.path()).len(), 3, "something was made in a source");
    assert_clean(root.path(), &before);
}

fn destinations_that_lead_up(root: &BusyboxRoot) {
    let (folder, before) = (outside(), listing(root.path()));
    let name = format!("thither-up-{}", std::process::id());
    let check = |at: &str| {
        let place = Chroot::new(root.path())
            .mount(Mount::tmpfs("/tmp"))
            .mount(Mount::bind(folder.path()).at(Path::new(at).join(&name)));
        assert_eq!(printed_in(&place, &format!("cat /{name}/file; ls /tmp")), "file\n", "{at}");
        assert_clean(root.path(), &before);
        for folder in ["/".as_ref(), root.path().parent().unwrap()] {
            assert!(!folder.join(&name).exists(), "{at} led to {folder:?}");
        }
    };
    check("../../../..");
    check("/etc/..");
    // Out of what an earlier mount covers.
    check("/tmp/..");
    check("/tmp/../..");
    check("/tmp/../../../../../../../tmp/..");
    check("/tmp/x/../../home/..");
    // Where the root's own links lead, and no others.
    symlink("home/guest", root.path().join("link")).unwrap();
    let place = Chroot::new(root.path()).mount(Mount::bind(folder.path()).at("/link/../new"));
    assert_eq!(printed_in(&place, "cat /home/new/file"), "file\n");
}

/// One after the other, with all that may need escaping somewhere.
pub(crate) fn names() -> impl Iterator<Item = &'static OsStr> {
    let names: [&[u8]; 9] = [
        b"a b",
        b"line\nfeed\n",
        b"not\xffUTF-8",
        b"comma,comma",
        b"colon:colon",
        b"back\\slash\\040",
        b"quote'\"`$x",
        b"upperdir=x,lowerdir=y",
        b"-n",
    ];
    names.into_iter().map(OsStr::from_bytes)
}

fn odd_names(root: &BusyboxRoot) {
    let (folder, before) = (tempfile::tempdir().unwrap(), listing(root.path()));
    for name in names() {
        let source = folder.path().join(name);
        fs::create_dir(&source).unwrap();
        fs::write(source.join(name), "odd\n").unwrap();
        for overlay in [None, Some(Overlay::Vanish)] {
            let mut place = Chroot::new(root.path())
                .mount(Mount::bind(&source).at(Path::new("/new").join(name)))
                .mount(Mount::bind(source.join(name)).at(Path::new("/etc").join(name)));
            if let Some(overlay) = overlay {
                place = place.overlay(overlay);
            }
            let command = sh("cat \"/new/$1/$1\" \"/etc/$1\"").arg("sh").arg(name);
            let output = crate::output_in(&place, command);
            assert_eq!(output.stdout, b"odd\nodd\n", "{name:?}: {output:?}");
        }
    }
    assert_clean(root.path(), &before);
}

#[test]
fn sources_in_the_environment() {
    let folder = outside();
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        command.env("THITHER_SET", folder.path()).env("THITHER_EMPTY", "");
        command.env_remove("THITHER_UNSET");
        command
    });
    let root = busybox_root!();
    let before = listing(root.path());
    let set = std::env::var("THITHER_SET").unwrap();
    let with = |mount: Mount| Chroot::new(root.path()).mount(mount);
    let text = printed_in(&with(Mount::parse("$THITHER_SET")), &format!("cat {set}/file"));
    assert_eq!(text, "file\n");
    let text = printed_in(&with(Mount::parse("$THITHER_SET:/srv/there")), "cat /srv/there/file");
    assert_eq!(text, "file\n");
    check_refused(
        &with(Mount::parse("$THITHER_UNSET:/x")),
        expect![[r#"
        cannot mount `$THITHER_UNSET` on `/x` in `chroot:ROOT`: the variable is not set here
        hint: set it, or leave the mount out"#]],
    );
    check_refused(
        &with(Mount::parse("$THITHER_EMPTY")),
        expect![[r#"
        cannot mount `$THITHER_EMPTY` in `chroot:ROOT`: the variable is not set here
        hint: set it, or leave the mount out"#]],
    );
    for text in ["$THITHER_UNSET:/x", "$THITHER_EMPTY:/x"] {
        let place = with(Mount::parse(text).optional());
        assert_eq!(printed_in(&place, "[ -e /x ] || echo none"), "none\n");
    }
    assert_clean(root.path(), &before);
}

#[test]
fn relative_paths() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let (root, folder) = (busybox_root!(), outside());
    std::env::set_current_dir(folder.path()).unwrap();
    let before = listing(root.path());
    for overlay in [None, Some(Overlay::Vanish)] {
        let mut place = Chroot::new(root.path())
            .mount(Mount::bind("folder"))
            .mount(Mount::bind("./file").at("srv/there"))
            .mount(Mount::bind("folder/../file").at("srv/too"));
        if let Some(overlay) = overlay {
            place = place.overlay(overlay);
        }
        let text = printed_in(&place, "cat /folder/inner /srv/there /srv/too");
        assert_eq!(text, "inner\nfile\nfile\n");
    }
    // So may the root be.
    std::env::set_current_dir(root.path().parent().unwrap()).unwrap();
    let place = Chroot::new(OsString::from(root.path().file_name().unwrap()));
    assert_eq!(printed_in(&place.overlay(Overlay::Vanish), "echo $$; pwd"), "2\n/\n");
    assert_clean(root.path(), &before);
}

#[test]
fn the_root_itself_is_no_mount_point() {
    let root = busybox_root!();
    for path in ["/", "", "//.", "/tmp/.."] {
        let place = Chroot::new(root.path()).mount(Mount::tmpfs(path));
        let error = place.command("true").status().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "it would hide the whole root", "{path}");
    }
}
