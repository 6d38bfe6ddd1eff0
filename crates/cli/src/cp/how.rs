//! How files are to be copied.

use std::sync::Arc;

use thither::Archive;
use thither::archive::{Patterns, Preserve, Verified};

use crate::args::{Cp, Kept};
use crate::report::{self, Failure};

/// What the flags of `cp` say.
#[derive(Debug, Default)]
pub(super) struct How {
    pub(super) recursive: bool,
    pub(super) dry_run: bool,
    pub(super) verify: bool,
    pub(super) preserve: Preserve,
    exclude: Arc<Patterns>,
}

impl How {
    pub(super) fn of(args: &Cp) -> Result<How, Failure> {
        let exclude = Patterns::new(&args.exclude);
        let exclude = exclude.map_err(|error| Failure::new(error.to_string()))?;
        let keeps = |kept| args.preserve.contains(&kept);
        let preserve = Preserve {
            owner: keeps(Kept::Owner),
            xattr: keeps(Kept::Xattr),
            sparse: keeps(Kept::Sparse),
        };
        let Cp { recursive, dry_run, verify, .. } = *args;
        Ok(How { recursive, dry_run, verify, preserve, exclude: Arc::new(exclude) })
    }

    /// Whether it is more than content from one place to another.
    pub(super) fn is_special(&self) -> bool {
        self.dry_run
            || self.verify
            || self.preserve != Preserve::default()
            || !self.exclude.is_empty()
    }

    /// An archive without what is excluded.
    pub(super) fn filter(&self, archive: Archive) -> Archive {
        if self.exclude.is_empty() {
            return archive;
        }
        let exclude = self.exclude.clone();
        archive.filtered(move |path, is_directory| !exclude.match_path(path, is_directory))
    }
}

/// Says what was compared, and how.
pub(super) fn say(Verified { files, by }: &Verified) {
    let things = if *files == 1 { "file" } else { "files" };
    let how = match by {
        Some(program) => format!("by {program} over there"),
        None => "by reading back".to_owned(),
    };
    report::say(&format!("verified {files} {things} {how}"));
}
