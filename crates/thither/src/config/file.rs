//! The configuration's file: where it is, and whether it can be trusted.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use thither_place::error::quoted;

use super::error::{ConfigError, Wrong};

/// The longest configuration, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Where the user's configuration is, whether or not it exists: `thither/thither.toml` in the folder `XDG_CONFIG_HOME`, else in
/// `.config` of `HOME`. `None` where neither is an absolute path.
#[must_use]
pub fn path() -> Option<PathBuf> {
    // One that is relative is to be ignored: XDG Base Directory Specification 0.8.
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("thither/thither.toml"))
}

/// What the file says; `None` if there is none.
pub(super) fn text(path: &Path) -> Result<Option<String>, ConfigError> {
    let error = |wrong| ConfigError::new(path, wrong);
    // A fifo of this name is not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(error(unreadable(&errno.into()))),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| error(unreadable(&errno.into())))?;
    trusted(path, &stat).map_err(error)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|cause| error(unreadable(&cause)))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        let wrong = Wrong::new(format!("it is longer than {LONGEST} bytes"));
        return Err(error(wrong.hint("leave out what is not about places")));
    }
    String::from_utf8(bytes).map(Some).map_err(|bad| {
        let line = line_of(bad.as_bytes(), bad.utf8_error().valid_up_to());
        error(Wrong::new("it is not UTF-8").at(line).hint("save it as UTF-8"))
    })
}

/// The line of a byte, from 1 on.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    text.iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

/// Refuses what is no file, and what others than its user and root could have written, as ssh does with ssh_config. So root
/// does not follow another's file either.
fn trusted(path: &Path, stat: &Stat) -> Result<(), Wrong> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Wrong::new("it is no regular file").hint("put a file there, or nothing"));
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        let text = format!("it belongs to another user, whose id is {}", stat.st_uid);
        return Err(Wrong::new(text).hint("use a copy of your own"));
    }
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        let command = format!("chmod go-w {}", path.display());
        return Err(Wrong::new("others can write it").hint(quoted(command)));
    }
    Ok(())
}

fn unreadable(cause: &io::Error) -> Wrong {
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    Wrong::new(format!("it cannot be read: {text}")).hint("make it readable for you, or remove it")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use expect_test::{Expect, expect};
    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    /// What reading a file gives that has been treated in each of these ways.
    #[track_caller]
    fn check_file(ways: &[&dyn Fn(&Path)], expected: Expect) {
        let said = ways.iter().map(|treat| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("c.toml");
            fs::write(&path, "[place.x]\naddress = 'local:'\n").unwrap();
            set_mode(&path, 0o600);
            treat(&path);
            match text(&path) {
                Ok(Some(text)) => format!("{} bytes\n", text.len()),
                Ok(None) => "none\n".to_owned(),
                Err(error) => {
                    let hint = error.hint().unwrap_or_default();
                    format!("{error}\n  hint: {hint}\n")
                        .replace(folder.path().to_str().unwrap(), "[DIR]")
                }
            }
        });
        expected.assert_eq(&said.collect::<String>());
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files() {
        check_file(
            &[
                &|_| (),
                &|path| set_mode(path, 0o644),
                &|path| set_mode(path, 0o620),
                &|path| set_mode(path, 0o602),
                &|path| fs::remove_file(path).unwrap(),
                &|path| fs::write(path, b"# a\n# b\nx = '\xff'").unwrap(),
                &|path| fs::write(path, vec![b'#'; 1 << 20]).unwrap(),
                &|path| fs::write(path, vec![b'#'; (1 << 20) + 1]).unwrap(),
            ],
            expect![[r#"
                29 bytes
                29 bytes
                bad configuration `[DIR]/c.toml`: others can write it
                  hint: `chmod go-w [DIR]/c.toml`
                bad configuration `[DIR]/c.toml`: others can write it
                  hint: `chmod go-w [DIR]/c.toml`
                none
                bad configuration `[DIR]/c.toml`, line 3: it is not UTF-8
                  hint: save it as UTF-8
                1048576 bytes
                bad configuration `[DIR]/c.toml`: it is longer than 1048576 bytes
                  hint: leave out what is not about places
            "#]],
        );
    }

    #[test]
    fn what_is_no_file() {
        let instead = |make: fn(&Path)| {
            move |path: &Path| {
                fs::remove_file(path).unwrap();
                make(path);
            }
        };
        check_file(
            &[
                &instead(|path| fs::create_dir(path).unwrap()),
                &instead(|path| symlink(path, path).unwrap()),
                &instead(|path| symlink("nowhere", path).unwrap()),
                &instead(|path| symlink("/dev/null", path).unwrap()),
            ],
            expect![[r#"
                bad configuration `[DIR]/c.toml`: it is no regular file
                  hint: put a file there, or nothing
                bad configuration `[DIR]/c.toml`: it cannot be read: too many levels of symbolic links
                  hint: make it readable for you, or remove it
                none
                bad configuration `[DIR]/c.toml`: it is no regular file
                  hint: put a file there, or nothing
            "#]],
        );
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR).unwrap();
        let read = testkit::within_deadline("a fifo", move || text(&path));
        assert!(read.is_err_and(|error| error.to_string().ends_with("it is no regular file")));
    }

    #[test]
    fn files_of_others() {
        if !testkit::is_root() {
            testkit::skip!("only root gives files away");
        }
        check_file(
            &[&|path| chown(path, Some(12345), None).unwrap()],
            expect![[r#"
            bad configuration `[DIR]/c.toml`: it belongs to another user, whose id is 12345
              hint: use a copy of your own
        "#]],
        );
    }
}
