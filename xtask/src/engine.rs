//! The engine of `cargo xtask test`: one for all tests.

use std::process::Command;

use testkit::{ENGINE, Engine};

/// One engine for all tests, or why there is none. It ends when this is dropped, or with this process.
pub(crate) struct Shared(Result<Engine, String>);

impl Shared {
    /// Starts it, and says so.
    pub(crate) fn start() -> Shared {
        let engine = Engine::own();
        match &engine {
            Ok(engine) => println!("The engine of the tests: {}", engine.host()),
            Err(reason) => println!("Cannot run here: tests with Docker. {reason}"),
        }
        Shared(engine)
    }

    /// Names it to the tests. Where there is none, each of them tries for itself, and says why it is skipped.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match &self.0 {
            Ok(engine) => command.env(ENGINE, engine.host()),
            Err(_) => command.env_remove(ENGINE),
        }
    }

    /// What is wrong, for those who are strict.
    pub(crate) fn complaint(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the variable is in the command's environment.
    fn told(shared: &Shared) -> Option<String> {
        let mut command = Command::new("true");
        shared.tell(&mut command);
        let value = command.get_envs().find(|(name, _)| *name == ENGINE)?.1?;
        Some(value.to_string_lossy().into_owned())
    }

    #[test]
    fn tests_are_told_where_it_is() {
        let shared = Shared::start();
        assert_eq!(told(&shared).is_some(), shared.complaint().is_none());
        if let Some(reason) = shared.complaint() {
            testkit::skip!("{reason}");
        }
        assert!(told(&shared).unwrap().starts_with("unix:///"));
        let none = Shared(Err("no moon".into()));
        assert_eq!((told(&none), none.complaint()), (None, Some("no moon")));
    }
}
