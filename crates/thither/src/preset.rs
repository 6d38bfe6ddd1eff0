//! A place whose commands are something unless they say otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

use thither_place::{Command, Place, Process, Result};

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
        match self {
            Preset { user: None, dir: None, env_clear: false, env } if env.is_empty() => {
                Box::new(place)
            }
            preset => Box::new(With { place, preset }),
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

struct With<P> {
    place: P,
    preset: Preset,
}

impl<P: Place> Place for With<P> {
    fn spawn(&self, command: &Command) -> Result<Process> {
        self.place.spawn(&self.preset.applied_to(command))
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
