//! What README.md tells a new user to type.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn workspace() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    Path::new(&xtask).parent().expect("a folder of the workspace").to_path_buf()
}

/// The lines of README.md that are indented, as commands are, and begin with `cargo`.
fn commands() -> Vec<String> {
    let text = fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let lines = text.lines().filter_map(|line| line.strip_prefix("    cargo "));
    lines.map(str::to_owned).collect()
}

#[test]
fn there_are_the_two_commands() {
    let commands = commands();
    assert_eq!(commands[..2], ["run --release -- shell chroot:/", "xtask test"]);
}

#[test]
fn the_first_one_leads_to_a_shell_in_a_root_of_its_own() {
    let command = commands().remove(0);
    // The program as the tests have it: an optimised one takes a minute to build.
    let args = command.split(' ').filter(|arg| *arg != "--release");
    let output = Command::new(std::env::var_os("CARGO").expect("cargo sets it"))
        .args(args)
        .current_dir(workspace())
        // Typed by nobody: a shell reads it to its end.
        .stdin(typed("echo pid $$; exit 3"))
        .stderr(Stdio::piped())
        .output()
        .expect("cargo runs");
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), said.trim()), (Some(3), "pid 2"), "{errors}");
}

fn typed(text: &str) -> Stdio {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, text.as_bytes()).expect("room for a line");
    reader.into()
}
