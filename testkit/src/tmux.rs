//! A program in a whole terminal emulator.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use tempfile::TempDir;

use crate::{DEADLINE, find_program, watch};

/// A program in tmux, on a server of its own without anyone's configuration; the server ends when it is dropped.
///
/// tmux interprets what the program writes, so this shows what a user would see, alternate screen and all.
#[derive(Debug)]
pub struct Tmux {
    program: PathBuf,
    folder: TempDir,
}

impl Tmux {
    /// Starts a program, given with its arguments, in a screen of `cols` by `rows` cells. When it ends the screen stays.
    ///
    /// # Errors
    /// The reason for a skip: tmux is missing.
    ///
    /// # Panics
    /// When tmux is there and does not start.
    #[track_caller]
    pub fn start((cols, rows): (u16, u16), argv: &[&str]) -> Result<Tmux, String> {
        let program = find_program("tmux")?;
        let folder =
            tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let tmux = Tmux { program, folder };
        let (cols, rows) = (cols.to_string(), rows.to_string());
        let mut args: Vec<&str> = "start-server ; set -g status off ; set -g remain-on-exit on ; \
             set -g remain-on-exit-format  ; set -g escape-time 0 ; \
             new-session -d -x"
            .split(' ')
            .collect();
        args.extend([cols.as_str(), "-y", rows.as_str()]);
        args.extend(argv);
        tmux.must(&args);
        Ok(tmux)
    }

    /// Types keys by their names in tmux(1), "KEY BINDINGS": `["C-c", "Enter"]`; what is no name is typed as it is.
    ///
    /// # Panics
    /// When the server is gone.
    #[track_caller]
    pub fn send_keys(&self, keys: &[&str]) {
        self.must(&[&["send-keys"], keys].concat());
    }

    /// Types a line and Enter.
    ///
    /// # Panics
    /// When the server is gone.
    #[track_caller]
    pub fn line(&self, line: &str) {
        self.must(&["send-keys", "-l", "--", line]);
        self.send_keys(&["Enter"]);
    }

    /// The screen as text, without white space at the ends of lines.
    ///
    /// # Panics
    /// When the server is gone.
    #[must_use]
    #[track_caller]
    pub fn capture(&self) -> String {
        self.must(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows `needle`, and returns the screen.
    ///
    /// # Panics
    /// At the [`DEADLINE`], with the screen.
    #[track_caller]
    pub fn wait_for(&self, needle: &str) -> String {
        self.wait_until(&format!("{needle:?} on the screen"), |screen| screen.contains(needle))
    }

    /// Waits until the screen is as wanted, and returns it. tmux has no event for that, so this looks repeatedly.
    ///
    /// # Panics
    /// At the [`DEADLINE`], with the screen and `what` was waited for.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let screen = self.capture();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "waited in vain: {what}\nthe screen:\n{screen}");
            watch::pause();
        }
    }

    /// What a format of tmux(1) stands for, such as `#{alternate_on}`, `#{cursor_x}` or `#{pane_dead}`.
    ///
    /// Not `#{pane_dead_status}`: tmux 3.3 sometimes never waits for the program. A shell can `echo $?`.
    ///
    /// # Panics
    /// When the server is gone.
    #[must_use]
    #[track_caller]
    pub fn show(&self, format: &str) -> String {
        self.must(&["display-message", "-p", format]).trim_end().to_owned()
    }

    /// Changes the size of the window.
    ///
    /// # Panics
    /// When the server is gone.
    #[track_caller]
    pub fn resize(&self, cols: u16, rows: u16) {
        self.must(&["resize-window", "-x", &cols.to_string(), "-y", &rows.to_string()]);
    }

    #[track_caller]
    fn must(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn run(&self, args: &[&str]) -> Output {
        let socket = self.folder.path().join("socket");
        let mut command = Command::new(&self.program);
        // -u: UTF-8 whatever the locale. TMUX would make it refuse to start inside another one.
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(socket).args(args).env_remove("TMUX");
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_in_a_terminal() {
        let tmux = match Tmux::start((40, 5), &["env", "PS1=prompt> ", "sh", "-i"]) {
            Ok(tmux) => tmux,
            Err(reason) => crate::skip!("{reason}"),
        };
        tmux.wait_for("prompt>");
        tmux.line("clear; stty size; printf 'gr\\303\\274n\\n'");
        tmux.wait_until("the size and a word", |screen| screen.starts_with("5 40\ngrün\nprompt>"));
        tmux.resize(60, 7);
        tmux.line("clear; stty size");
        tmux.wait_until("the new size", |screen| screen.starts_with("7 60\nprompt>"));
        tmux.send_keys(&["cat", "Enter"]);
        watch::wait_until(DEADLINE, "cat", || tmux.show("#{pane_current_command}") == "cat");
        tmux.send_keys(&["C-c"]);
        tmux.wait_for("^C\nprompt>");
        assert_eq!(tmux.show("#{pane_width}"), "60");
        tmux.line("exit 3");
        watch::wait_until(DEADLINE, "the shell's end", || tmux.show("#{pane_dead}") == "1");

        let server = PathBuf::from("/proc").join(tmux.show("#{pid}"));
        assert!(server.exists());
        drop(tmux);
        watch::wait_until(DEADLINE, "the server's end", || !server.exists());
    }
}
