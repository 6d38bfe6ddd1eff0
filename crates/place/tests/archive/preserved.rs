//! Owners and extended attributes, on request.

use rustix::fs::{XattrFlags, getxattr, lgetxattr, setxattr};
use thither_place::archive::{CannotPreserve, Preserve, get_preserving};
use thither_place::{Command, Process, Result};

use super::put::{ByCommand, made};
use super::*;

const ALL: Preserve = Preserve { owner: true, xattr: true, sparse: true };
const OWNER: Preserve = Preserve { owner: true, xattr: false, sparse: false };
const XATTR: Preserve = Preserve { owner: false, xattr: true, sparse: false };

/// This machine by commands, with busybox's tar.
struct ByBusybox(TempDir);

impl Place for ByBusybox {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        Local.spawn(&command.clone().env("PATH", path))
    }
}

fn busybox() -> std::result::Result<ByBusybox, String> {
    let busybox = testkit::find_program("busybox")?;
    let folder = TempDir::new().unwrap();
    let script = format!("#!/bin/sh\nexec {} tar \"$@\"\n", busybox.display());
    testkit::write_program(&folder.path().join("tar"), &script);
    Ok(ByBusybox(folder))
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

fn owned() -> TempDir {
    made(
        "mkdir -p a/s; echo x > a/s/x; ln -s x a/s/l; ln a/s/x a/y; chmod 6755 a/s/x; chmod 500 a/s
         chown -h 1001:1002 a/s/x; chown -h 70000:3000000 a/s/l; chown 1003:1004 a/s; chown 1005:1 a",
    )
}

/// Copies `a` from one place to the other.
fn copy(from: &dyn Place, to: &dyn Place, folder: &Path, preserve: Preserve) -> Result<()> {
    let archive = get_preserving(from, &folder.join("a"), preserve)?;
    to.put(archive, &folder.join("new"))
}

#[test]
fn owners() {
    if !testkit::is_root() {
        testkit::skip!("only root may give files away");
    }
    let busybox = match busybox() {
        Ok(busybox) => busybox,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let ways: [(&str, &dyn Place, &dyn Place); 5] = [
        ("files", &Local, &Local),
        ("to GNU's tar", &Local, &ByCommand),
        ("from GNU's tar", &ByCommand, &Local),
        ("to busybox's tar", &Local, &busybox),
        ("from busybox's tar", &busybox, &Local),
    ];
    for (way, from, to) in ways {
        let folder = owned();
        let path = |name: &str| folder.path().join("new").join(name);
        copy(from, to, folder.path(), OWNER).unwrap();
        let found = ["", "s", "s/x", "s/l", "y"].map(|name| owner(&path(name)));
        // busybox's gives links to nobody.
        let link = if way == "to busybox's tar" { (0, 0) } else { (70_000, 3_000_000) };
        let expected = [(1005, 1), (1003, 1004), (1001, 1002), link, (1001, 1002)];
        assert_eq!(found, expected, "{way}");
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("s/x"), mode("s")), (0o755, 0o500), "{way}");
        // Nobody's but root's without being asked for.
        let folder = owned();
        copy(from, to, folder.path(), Preserve::default()).unwrap();
        assert_eq!(owner(&folder.path().join("new/s/x")), (0, 0), "{way}");
    }
}

#[test]
fn owners_where_only_root_may() {
    if !testkit::is_root() {
        testkit::skip!("this is about what root alone may");
    }
    struct User;
    impl Place for User {
        fn spawn(&self, command: &Command) -> Result<Process> {
            Local.spawn(&command.clone().user("65534:65534"))
        }
    }
    let folder = made("mkdir a; echo x > a/x; chmod 777 .");
    let error = copy(&Local, &User, folder.path(), OWNER).unwrap_err();
    let text = said(&error);
    assert!(text.ends_with(": only root may give files to others"), "{text}");
    assert_eq!(error.hint(), Some("write as root, or without `owner`"));
    assert_eq!(CannotPreserve::of(&error), Some(CannotPreserve::Owner));
    assert_eq!(names(folder.path()), ["a/ 755", "a/x 644 \"x\\\\n\" x1"]);
}

/// Attributes on a file, a read-only file, a folder.
fn attributed() -> std::result::Result<TempDir, String> {
    let folder = made("mkdir -p a/s; echo x > a/s/x; echo y > a/y; ln -s y a/l");
    let set = |name: &str, attribute: &[u8], value: &[u8]| {
        setxattr(folder.path().join(name), attribute, value, XattrFlags::empty())
    };
    if set("a/y", b"user.a", b"1") == Err(rustix::io::Errno::OPNOTSUPP) {
        return Err("the file system has no extended attributes".into());
    }
    set("a/y", b"user.=%\xff", b"\0\n=").unwrap();
    set("a/s/x", b"user.large", &[7; 2000]).unwrap();
    set("a/s", b"user.s", b"s").unwrap();
    set("a", b"user.empty", b"").unwrap();
    if testkit::is_root() {
        set("a/y", b"trusted.a", b"1").unwrap();
    }
    fs::set_permissions(folder.path().join("a/y"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(folder.path().join("a/s"), fs::Permissions::from_mode(0o500)).unwrap();
    Ok(folder)
}

fn attribute(path: &Path, name: &[u8]) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[test]
fn attributes() {
    let ways: [(&str, &dyn Place, &dyn Place); 4] = [
        ("files", &Local, &Local),
        ("to tar", &Local, &ByCommand),
        ("from tar", &ByCommand, &Local),
        ("from tar to tar", &ByCommand, &ByCommand),
    ];
    for (way, from, to) in ways {
        let folder = match attributed() {
            Ok(folder) => folder,
            Err(reason) => testkit::skip!("{reason}"),
        };
        copy(from, to, folder.path(), XATTR).unwrap_or_else(|error| panic!("{way}: {error:?}"));
        let of =
            |name: &str, attribute: &[u8]| self::attribute(&folder.path().join(name), attribute);
        assert_eq!(of("new/y", b"user.a").as_deref(), Some(&b"1"[..]), "{way}");
        assert_eq!(of("new/y", b"user.=%\xff").as_deref(), Some(&b"\0\n="[..]), "{way}");
        assert_eq!(of("new/s/x", b"user.large"), Some(vec![7; 2000]), "{way}");
        assert_eq!(of("new/s", b"user.s").as_deref(), Some(&b"s"[..]), "{way}");
        assert_eq!(of("new", b"user.empty").as_deref(), Some(&b""[..]), "{way}");
        assert_eq!(of("new/y", b"trusted.a"), None, "{way}");
        let again = TempDir::new().unwrap();
        let plain = from.get(&folder.path().join("a")).unwrap();
        to.put(plain, again.path()).unwrap();
        assert_eq!(self::attribute(&again.path().join("a/y"), b"user.a"), None, "{way}");
    }
}

#[test]
fn an_archive_cannot_give_other_attributes() {
    let folder = made("");
    let records = b"28 SCHILY.xattr.user.x=\0=\n\0\n41 SCHILY.xattr.security.capability=1234\n";
    let extended = with_content(header(b"x", b'x', b"", records.len() as u64), records);
    let parts = [directory(b"r/"), extended, file(b"r/f", b"x")];
    let new = folder.path().join("new");
    match Local.put(archive(tar(&parts)).preserving(ALL), &new) {
        Ok(()) => {}
        Err(error) if !testkit::is_root() => {
            return assert_eq!(CannotPreserve::of(&error), Some(CannotPreserve::Owner));
        }
        Err(error) => panic!("{}", said(&error)),
    }
    let mut value = [0; 16];
    assert_eq!(getxattr(new.join("f"), "user.x", &mut value), Ok(4));
    assert!(getxattr(new.join("f"), "security.capability", &mut value).is_err());
}

#[test]
fn busyboxs_tar_keeps_neither() {
    let busybox = match busybox() {
        Ok(busybox) => busybox,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let text = "the `tar` over there is not GNU's: it keeps no extended attributes and no holes";
    let sparse = Preserve { sparse: true, ..Preserve::default() };
    for preserve in [XATTR, sparse] {
        let folder = made("mkdir a; echo x > a/x");
        let from = copy(&busybox, &Local, folder.path(), preserve).unwrap_err();
        let to = copy(&Local, &busybox, folder.path(), preserve).unwrap_err();
        for error in [from, to] {
            let text_of = said(&error);
            assert!(text_of.ends_with(text), "{text_of}");
            assert_eq!(CannotPreserve::of(&error), Some(CannotPreserve::Tar));
        }
        assert_eq!(names(folder.path()), ["a/ 755", "a/x 644 \"x\\\\n\" x1"]);
    }
}

#[test]
fn a_place_that_tells_no_owners() {
    use thither_place::archive::{Entries, Entry, Extra, Found, Timestamp};

    struct One(bool);
    impl Entries for One {
        fn next_entry(&mut self) -> io::Result<Option<Found>> {
            let (path, kind) = (std::path::PathBuf::new(), Kind::File);
            let (modified, extra) = (Timestamp::default(), Extra::default());
            let entry = Entry { path, kind, mode: 0o644, modified, size: 0, extra };
            Ok(std::mem::replace(&mut self.0, false).then_some(Found::Entry(entry)))
        }

        fn read_content(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    let folder = made("");
    let archive = Archive::from_entries(One(true), "f");
    Local.put(archive, &folder.path().join("plain")).unwrap();
    let archive = Archive::from_entries(One(true), "f").preserving(OWNER);
    let error = Local.put(archive, &folder.path().join("new")).unwrap_err();
    let reason = if testkit::is_root() { CannotPreserve::Way } else { CannotPreserve::Owner };
    assert_eq!(CannotPreserve::of(&error), Some(reason), "{}", said(&error));
    assert_eq!(names(folder.path()), ["plain 644 \"\" x1"]);
}

#[test]
fn a_file_system_without_attributes() {
    let Ok(folder) = attributed() else { testkit::skip!("no extended attributes here") };
    // As GNU's tar says of it, and goes on.
    let said_by_tar = "tar: setxattrat: Cannot set 'user.a' extended attribute for file 'root/y': Operation not supported";
    let programs = TempDir::new().unwrap();
    let script = format!(
        "#!/bin/sh\ncase $1 in -x) echo \"{said_by_tar}\" >&2 ;; esac; exec /bin/tar \"$@\"\n"
    );
    testkit::write_program(&programs.path().join("tar"), &script);
    let error = copy(&Local, &ByBusybox(programs), folder.path(), XATTR).unwrap_err();
    assert_eq!(CannotPreserve::of(&error), Some(CannotPreserve::Attributes), "{}", said(&error));
    assert!(!folder.path().join("new").exists());
}
