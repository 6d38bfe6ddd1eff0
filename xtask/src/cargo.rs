//! cargo, and what it says about the things it built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    // As cargo says now: the checkout may have been moved since the build.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR");
    let xtask = xtask.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// The folder of what is built, where there is room too for what takes long to make.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    workspace().join(target.unwrap_or_else(|| "target".into()))
}

/// The cargo that runs us, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).stdin(Stdio::null());
    command
}

/// Something that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) package: String,
    /// `lib`, `bin`, `test` and so on.
    pub(crate) kind: String,
    /// The target's name.
    pub(crate) name: String,
    pub(crate) executable: Option<PathBuf>,
}

/// Builds, and says what: `build(["test", "--no-run"])`.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("the build failed".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(artifact).collect())
}

/// Reads a message (the cargo book, "External tools", "JSON messages"). The few fields that we need are strings without
/// escapes at fixed places, so this needs no JSON.
fn artifact(line: &str) -> Option<Artifact> {
    let string = |before: &str| Some(line.split_once(before)?.1.split_once('"')?.0);
    if string("\"reason\":\"")? != "compiler-artifact" {
        return None;
    }
    // `path+file:///folder#name@1.2.3`, or `path+file:///folder/name#1.2.3` when the folder has the package's name.
    let (source, version) = string("\"package_id\":\"")?.rsplit_once('#')?;
    let package = match version.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit_once('/')?.1,
    };
    Some(Artifact {
        package: package.into(),
        kind: string("\"kind\":[\"")?.into(),
        name: string("\"name\":\"")?.into(),
        executable: string("\"executable\":\"").map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str, &str, Option<&str>)>) {
        let expected = expected.map(|(package, kind, name, executable)| Artifact {
            package: package.into(),
            kind: kind.into(),
            name: name.into(),
            executable: executable.map(PathBuf::from),
        });
        assert_eq!(artifact(line), expected);
    }

    #[test]
    fn messages() {
        check(
            r#"{"reason":"compiler-artifact","package_id":"path+file:///w/crates/term#thither-term@0.1.0","manifest_path":"/w/crates/term/Cargo.toml","target":{"kind":["lib"],"crate_types":["lib"],"name":"thither_term","src_path":"/w/crates/term/src/lib.rs","edition":"2024","doc":true,"doctest":true,"test":true},"profile":{"opt_level":"0","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":true},"features":[],"filenames":["/t/debug/deps/thither_term-1"],"executable":"/t/debug/deps/thither_term-1","fresh":true}"#,
            Some(("thither-term", "lib", "thither_term", Some("/t/debug/deps/thither_term-1"))),
        );
        check(
            r#"{"reason":"compiler-artifact","package_id":"path+file:///w/testkit#0.1.0","manifest_path":"/w/testkit/Cargo.toml","target":{"kind":["lib"],"crate_types":["lib"],"name":"testkit"},"executable":null,"fresh":true}"#,
            Some(("testkit", "lib", "testkit", None)),
        );
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("", None);
    }
}
