//! A place whose commands are something unless they say otherwise.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thither_place::archive::{self, Archive};
use thither_place::{Command, Endpoint, Place, Process, Result, connect};

/// What the commands of a place are unless they say otherwise.
#[derive(Debug, Default)]
pub(crate) struct Preset {
    pub(crate) user: Option<String>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) env_clear: bool,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Preset {
    /// The place with it.
    pub(crate) fn on(self, place: impl Place + 'static) -> Box<dyn Place> {
        self.on_boxed(Box::new(place))
    }

    /// The same of a place of any type.
    pub(crate) fn on_boxed(self, place: Box<dyn Place>) -> Box<dyn Place> {
        match self {
            Preset { user: None, dir: None, env_clear: false, env } if env.is_empty() => place,
            preset => Box::new(With { place, preset }),
        }
    }

    /// A path over there from the directory that commands start in.
    fn path(&self, path: &Path) -> PathBuf {
        match &self.dir {
            // Nothing would add a slash, which says less.
            Some(dir) if path.as_os_str().is_empty() => dir.clone(),
            Some(dir) => dir.join(path),
            None => path.to_owned(),
        }
    }

    fn applied_to(&self, command: &Command) -> Command {
        let mut command = command.clone();
        command.user = command.user.or_else(|| self.user.clone());
        command.dir = command.dir.or_else(|| self.dir.clone());
        // One that starts from an empty environment does without the place's.
        if !command.env_clear {
            let ours = self.env.iter().cloned().map(|(name, value)| (name, Some(value)));
            command.env = ours.chain(command.env).collect();
            command.env_clear = self.env_clear;
        }
        command
    }
}

struct With {
    place: Box<dyn Place>,
    preset: Preset,
}

impl Place for With {
    fn spawn(&self, command: &Command) -> Result<Process> {
        self.place.spawn(&self.preset.applied_to(command))
    }

    fn connect(&self, to: &Endpoint) -> Result<OwnedFd> {
        match self.preset.user {
            // Who may connect to a socket depends on the user.
            Some(_) => connect::by_command(self, to),
            None => self.place.connect(to),
        }
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        match self.preset.user {
            // Only a command is another user; it starts in the directory by itself.
            Some(_) => archive::get_by_command(self, path),
            None => self.place.get(&self.preset.path(path)),
        }
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        match self.preset.user {
            Some(_) => archive::put_by_command(self, archive, path),
            None => self.place.put(archive, &self.preset.path(path)),
        }
    }

    fn own_files(&self) -> Option<Arc<dyn Place>> {
        match self.preset.user {
            // Only a command is another user.
            Some(_) => None,
            // An absolute path needs no directory.
            None => self.place.own_files(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: Command, expected: Command) {
        let preset = Preset {
            user: Some("me".into()),
            dir: Some("/src".into()),
            env_clear: true,
            env: vec![("A".into(), "1".into())],
        };
        let found = preset.applied_to(&command);
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }

    #[track_caller]
    fn check_path(dir: Option<&str>, path: &str, expected: &str) {
        let preset = Preset { dir: dir.map(PathBuf::from), ..Preset::default() };
        assert_eq!(preset.path(Path::new(path)).as_os_str(), expected);
    }

    #[test]
    fn paths_are_relative_to_the_directory() {
        check_path(None, "a/", "a/");
        check_path(None, "", "");
        check_path(Some("/src"), "a/", "/src/a/");
        check_path(Some("/src"), "", "/src");
        check_path(Some("/src"), "/a", "/a");
        check_path(Some("src"), "..", "src/..");
    }

    #[test]
    fn what_a_command_says_wins() {
        let c = || Command::new("x");
        check(c(), c().user("me").dir("/src").env_clear().env("A", "1"));
        check(c().user("you"), c().user("you").dir("/src").env_clear().env("A", "1"));
        check(c().dir("/"), c().user("me").dir("/").env_clear().env("A", "1"));
        let of_both = c().user("me").dir("/src").env_clear().env("A", "1").env("A", "2");
        check(c().env("A", "2"), of_both);
        check(c().env_clear(), c().user("me").dir("/src").env_clear());
    }
}
