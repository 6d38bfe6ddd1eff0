//! The images that every engine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{fs, io};

use tempfile::TempDir;

use crate::{BusyboxRoot, find_program};

/// The name of an image and its root as a tar archive.
pub(super) type Image = (&'static str, Vec<u8>);

/// `busybox`, with all that [`BusyboxRoot`] has; and `empty`, in which there is only `/busybox` with its libraries, so
/// neither a shell by its name nor any other program.
///
/// Made once per process.
///
/// # Errors
/// The reason for a skip: a program is missing.
pub(super) fn images() -> Result<&'static [Image], String> {
    static IMAGES: OnceLock<Result<Vec<Image>, String>> = OnceLock::new();
    let made = IMAGES.get_or_init(|| {
        let (_folder, busybox) = dynamic_busybox()?;
        let full = BusyboxRoot::of(&busybox)?;
        let whole = archive(&full)?;
        let busybox = full.path().join("bin/busybox");
        let moved = fs::rename(busybox, full.path().join("busybox"));
        moved.map_err(|error| format!("cannot move busybox: {error}"))?;
        let few = ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp"];
        Ok(vec![("busybox", whole), ("empty", archive(&full.without(&few))?)])
    });
    made.as_deref().map_err(Clone::clone)
}

fn archive(root: &BusyboxRoot) -> Result<Vec<u8>, String> {
    let mut tar = Command::new(find_program("tar")?);
    tar.arg("-C").arg(root.path()).args(["--numeric-owner", "-c", "."]);
    Ok(run(&mut tar)?.stdout)
}

/// The installed busybox if it is dynamic, else that of Debian's package `busybox`, in a temporary folder. The static
/// one runs its own applets without exec, so that what is in `PATH` does not count.
fn dynamic_busybox() -> Result<(Option<TempDir>, PathBuf), String> {
    let installed = find_program("busybox")?;
    if crate::root::libraries(&installed).is_ok_and(|libraries| !libraries.is_empty()) {
        return Ok((None, installed));
    }
    let (folder, busybox) = fetch_busybox()?;
    Ok((Some(folder), busybox))
}

fn fetch_busybox() -> Result<(TempDir, PathBuf), String> {
    let failed = |error: io::Error| format!("no folder for busybox: {error}");
    let folder = tempfile::tempdir().map_err(failed)?;
    let mut apt = Command::new(find_program("apt-get")?);
    run(apt.args(["-qq", "download", "busybox"]).current_dir(folder.path()))?;
    let packages = fs::read_dir(folder.path()).map_err(failed)?;
    let package = packages.filter_map(Result::ok).map(|entry| entry.path()).next();
    let package = package.ok_or("apt-get downloaded no busybox")?;
    let root = folder.path().join("root");
    run(Command::new(find_program("dpkg")?).arg("-x").arg(package).arg(&root))?;
    let programs = ["bin/busybox", "usr/bin/busybox"].map(|inside| root.join(inside));
    let found = programs.into_iter().find(|path: &PathBuf| Path::exists(path));
    Ok((folder, found.ok_or("the package busybox has no busybox")?))
}

fn run(command: &mut Command) -> Result<Output, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        match images() {
            Ok(images) => {
                assert_eq!(images.iter().map(|it| it.0).collect::<Vec<_>>(), ["busybox", "empty"]);
                assert!(images.iter().all(|(_, archive)| archive.len() % 512 == 0));
            }
            Err(reason) => crate::skip!("{reason}"),
        }
    }
}
