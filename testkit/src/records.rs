//! A folder of records of its own for a test.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::user::public_folder;
use crate::{USER, as_user, is_root};

/// Who a test goes on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever runs the tests.
    Same,
    /// An ordinary user.
    User,
}

/// Goes on in a process of its own, where the records of mount points are in a folder of their own: a program that
/// another test starts would sweep what this one leaves on purpose.
///
/// ```no_run
/// fn a_test() {
///     testkit::own_records!(testkit::Who::User);
/// }
/// ```
#[macro_export]
macro_rules! own_records {
    ($who:expr) => {
        if let Err(reason) = $crate::find_program("unshare") {
            $crate::skip!("{reason}");
        }
        let folder = $crate::RecordsFolder::new();
        $crate::own_process!(|program| folder.command(program, $who));
        drop(folder);
    };
}

/// The folder of [`own_records!`].
#[derive(Debug)]
pub struct RecordsFolder(TempDir);

/// Another /run, in which all is as before but the records. The old one is seen at `$1`.
const OTHER_RUN: &str =
    "set -e; old=$1; shift; mount --rbind /run \"$old\"; mount -t tmpfs none /run
    ln -s \"$old\"/* /run; rm -f /run/thither; exec \"$@\"";

impl RecordsFolder {
    /// Makes it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> RecordsFolder {
        RecordsFolder(public_folder("thither-records").expect("a temporary folder"))
    }

    /// A command that runs a program with it.
    ///
    /// # Panics
    /// When it cannot be given to the user.
    #[must_use]
    pub fn command(&self, program: &Path, who: Who) -> Command {
        let folder = self.0.path();
        let mut command = match who {
            Who::Same if is_root() => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", OTHER_RUN, "sh"]).arg(folder);
                // The link that it may be is right for this process only.
                command.arg(fs::canonicalize(program).expect("the test's executable"));
                command
            }
            _ => Command::new(program),
        };
        if who == Who::User && is_root() {
            chown(folder, Some(USER), Some(USER)).expect("a folder of another user");
            as_user(&mut command);
        }
        command.env("XDG_RUNTIME_DIR", folder);
        command
    }
}
