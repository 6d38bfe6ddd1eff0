//! A way of the place's own for the content, and what it may do wrong.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::within_deadline;
use thither_python::{Files, Going, Output, Python, Start};

use crate::{content, names};

/// The file system itself, as far as it does as it should.
#[derive(Debug)]
struct Direct {
    fault: Fault,
    /// How often it was asked.
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It fails at once.
    Fails,
    /// It fails when half of it has come.
    Breaks,
    /// It says that it has done it.
    Elsewhere,
    /// It brings too little.
    Short,
    /// What it brings has another name, too.
    Linked,
    /// What it brings is a link to what it is.
    Symlink,
    /// What it brings is another user's.
    Owned,
    /// What it brings is a fifo.
    Fifo,
}

impl Direct {
    fn begin(&self) -> io::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Fails => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(()),
        }
    }
}

impl Files for Direct {
    fn read(&self, path: &Path, size: u64, changed: i64, _: Going) -> io::Result<Box<dyn Read>> {
        self.begin()?;
        assert!(path.is_absolute());
        let file = File::open(path)?;
        let about = file.metadata()?;
        assert_eq!((about.size(), about.mtime_nsec()), (size, changed.rem_euclid(1_000_000_000)));
        Ok(match self.fault {
            Fault::Breaks => Box::new(file.take(size / 2).chain(Broken)),
            Fault::Short => Box::new(file.take(size - 1)),
            _ => Box::new(file),
        })
    }

    fn write(
        &self,
        path: &Path,
        known: &Path,
        size: u64,
        mut content: Box<dyn Read + Send>,
        going: Going,
    ) -> io::Result<()> {
        self.begin()?;
        assert_eq!(path.parent(), known.parent());
        assert_eq!(fs::metadata(known)?.size(), 0);
        assert!(path.is_absolute() && !path.exists());
        let whole = path.with_file_name("whole");
        if self.fault == Fault::Fifo {
            let fifo = rustix::fs::FileType::Fifo;
            return Ok(rustix::fs::mknodat(rustix::fs::CWD, path, fifo, 0o600.into(), 0)?);
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&whole)?;
        let most = match self.fault {
            Fault::Breaks | Fault::Elsewhere => size / 2,
            Fault::Short => size - 1,
            _ => size,
        };
        let copied = io::copy(&mut (&mut content).take(most), &mut file);
        if copied.is_err() || matches!(self.fault, Fault::Breaks | Fault::Elsewhere) {
            fs::remove_file(&whole)?;
        }
        match (copied?, self.fault) {
            (_, Fault::Breaks) => return Err(io::ErrorKind::ConnectionReset.into()),
            (_, Fault::Elsewhere) => return Ok(()),
            (copied, _) if copied < most => {
                fs::remove_file(&whole)?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (_, Fault::Linked) => fs::hard_link(&whole, path)?,
            (_, Fault::Symlink) => std::os::unix::fs::symlink(&whole, path)?,
            (_, Fault::Owned) => std::os::unix::fs::chown(&whole, Some(12), None)?,
            _ => {}
        }
        if !matches!(self.fault, Fault::Linked | Fault::Symlink) {
            fs::rename(&whole, path)?;
        }
        going.check()
    }
}

/// A connection that is lost.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

/// An interpreter with such a way.
fn with(fault: Fault) -> (Python, Arc<AtomicUsize>) {
    let program = std::env::var("THITHER_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let asked = Arc::new(AtomicUsize::new(0));
    let mut start = Start::default();
    start.output = Output::Null;
    start.files = Some(Arc::new(Direct { fault, asked: Arc::clone(&asked) }));
    (start.local(&program).expect("an interpreter"), asked)
}

/// One whose way does as it should.
pub(crate) fn python() -> Python {
    with(Fault::None).0
}

/// A copy each way arrives, whatever the way does, and nothing else stays; the way is asked so often.
#[track_caller]
fn check(fault: Fault, length: usize, expected: usize) {
    within_deadline("two copies", move || {
        let folder = tempfile::tempdir().unwrap();
        let [from, there, back] = ["from", "there", "back"].map(|name| folder.path().join(name));
        fs::write(&from, content(length)).unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o640)).unwrap();
        let (py, asked) = with(fault);
        let mut seen = Vec::new();
        py.putfile(&from, &there, &mut |at| seen.push(at.done)).unwrap();
        assert!(seen.is_sorted() && seen.last() == Some(&(length as u64)), "{fault:?}: {seen:?}");
        if matches!(fault, Fault::Linked | Fault::Symlink) {
            let whole = folder.path().join("whole");
            let inode = |path: &Path| fs::metadata(path).unwrap().ino();
            assert_ne!(inode(&whole), inode(&there), "{fault:?}: it has another name");
            fs::remove_file(whole).unwrap();
        }
        seen.clear();
        py.getfile(&there, &back, &mut |at| seen.push(at.done)).unwrap();
        assert!(seen.is_sorted() && seen.last() == Some(&(length as u64)), "{fault:?}: {seen:?}");
        for path in [&there, &back] {
            assert!(fs::read(path).unwrap() == content(length), "{fault:?}: another content");
            let (about, source) = (fs::metadata(path).unwrap(), fs::metadata(&from).unwrap());
            assert_eq!(about.mode(), source.mode());
            assert_eq!((about.uid(), about.nlink()), (source.uid(), 1), "{fault:?}");
            assert_eq!(about.modified().unwrap(), source.modified().unwrap());
        }
        assert_eq!(names(folder.path()), ["back", "from", "there"], "{fault:?}");
        assert_eq!(asked.load(Ordering::SeqCst), expected, "{fault:?}");
    });
}

#[test]
fn it_is_asked_where_it_is_worth_it() {
    check(Fault::None, 5 << 20, 2);
    check(Fault::None, (1 << 20) + 1, 2);
    check(Fault::None, 1 << 20, 0);
}

#[test]
fn whatever_it_does_the_file_arrives() {
    use Fault::{Breaks, Elsewhere, Fails, Fifo, Linked, Short, Symlink};
    for fault in [Fails, Breaks, Elsewhere, Short, Linked, Symlink, Fifo] {
        check(fault, 5 << 20, 2);
    }
}

#[test]
fn what_is_of_another_user_is_not_taken() {
    if !testkit::is_root() {
        testkit::skip!("only root can give a file away");
    }
    check(Fault::Owned, 5 << 20, 2);
}
