//! The three tools by the same names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testkit::{Engine, find_program};

use crate::compliance::binary;
use crate::{Result, dockerpty, peers};

/// What the checks are run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Thither,
    Docker,
    Dockerpty,
}

pub(super) const ALL: [Tool; 3] = [Tool::Thither, Tool::Docker, Tool::Dockerpty];

/// dockerpty has no command: this is one, in words of [`VERBS`].
const DOCKERPTY: &str = include_str!("driver.py");

/// What all of them do: attach to the main process, and start it if it does not run, with input if it takes any
/// (`start`) or without (`start-n`); attach to it, with what it has printed before (`attach-logs`) or without (`attach`);
/// run a command besides (`exec`), at a terminal (`-t`), with input (`-i`) or neither (`-n`); and run one in a fresh
/// container.
const VERBS: [&str; 9] =
    ["start", "start-n", "attach", "attach-logs", "exec-t", "exec-i", "exec-n", "run-t", "run-i"];

impl Tool {
    /// The words of a verb; `$P` is the program, `$C` the container.
    fn words(self, verb: &'static str) -> String {
        let text = match (self, verb) {
            (Tool::Thither, "start" | "attach") => r#"attach "docker:$C""#,
            (Tool::Thither, "start-n") => r#"attach --no-stdin "docker:$C""#,
            (Tool::Thither, "attach-logs") => r#"attach --logs "docker:$C""#,
            (Tool::Thither, "exec-t") => r#"run -t "docker:$C""#,
            (Tool::Thither, "exec-i") => r#"run "docker:$C""#,
            (Tool::Thither, "exec-n") => r#"run -n "docker:$C""#,
            (Tool::Thither, "run-t") => "run -t image:busybox",
            (Tool::Thither, _) => "run image:busybox",
            (Tool::Docker, "start") => r#"start --attach --interactive "$C""#,
            (Tool::Docker, "start-n") => r#"start --attach "$C""#,
            // The docker CLI cannot show both without a gap.
            (Tool::Docker, "attach" | "attach-logs") => r#"attach "$C""#,
            (Tool::Docker, "exec-t") => r#"exec -i -t "$C""#,
            (Tool::Docker, "exec-i") => r#"exec -i "$C""#,
            (Tool::Docker, "exec-n") => r#"exec "$C""#,
            (Tool::Docker, "run-t") => "run --rm -i -t busybox",
            (Tool::Docker, _) => "run --rm -i busybox",
            (Tool::Dockerpty, "run-t" | "run-i") => return format!(r#""$S" {verb} busybox"#),
            (Tool::Dockerpty, "attach") => r#""$S" start "$C""#,
            (Tool::Dockerpty, _) => return format!(r#""$S" {verb} "$C""#),
        };
        text.to_owned()
    }
}

/// A tool that can be run: a folder of programs by the names of the verbs.
pub(super) struct Programs {
    pub(super) tool: Tool,
    folder: TempDir,
}

impl Programs {
    /// Gets the tool, and says which one it is.
    pub(super) fn new(tool: Tool) -> Result<Programs> {
        let failed = |error: std::io::Error| format!("cannot write a script: {error}");
        let program = match tool {
            Tool::Thither => binary()?,
            Tool::Docker => {
                let debian = PathBuf::from("/usr/bin/docker");
                if debian.exists() { debian } else { find_program("docker")? }
            }
            Tool::Dockerpty => {
                dockerpty::install().map_err(|why| format!("no dockerpty: {why}"))?
            }
        };
        match tool {
            Tool::Dockerpty => println!("{}", dockerpty::versions(&program)?),
            _ => println!("{}", peers::version(&[&program.to_string_lossy(), "--version"])),
        }
        let folder = TempDir::with_prefix("compliance-").map_err(failed)?;
        let script = folder.path().join("driver.py");
        fs::write(&script, DOCKERPTY).map_err(failed)?;
        for verb in VERBS {
            let path = folder.path().join(verb);
            let (program, script) = (program.display(), script.display());
            let words = tool.words(verb);
            // The shell is gone when the tool runs: signals reach that.
            let text =
                format!("#!/bin/sh\nP='{program}' S='{script}'\nexec \"$P\" {words} \"$@\"\n");
            fs::write(&path, text).map_err(failed)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        Ok(Programs { tool, folder })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// An engine, or why there is none.
pub(super) fn engine() -> Result<&'static Engine> {
    Engine::shared().map_err(|reason| format!("cannot run here: {reason}"))
}
