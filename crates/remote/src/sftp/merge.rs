//! What has arrived gets its name; a directory is merged into one of the same name that is there.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use thither_place::archive::{Archive, Kind, temporary_name};

use super::calls::found;
use super::failed::{done, failed, is_missing};
use super::packet::{Attributes, Request};
use super::stage::{MadeKind, Stage, is_directory, levels};
use super::target::{Target, check_replacement, mode};
use super::{Session, below};

/// The bit that a directory made in one with it has too: the destination's own affair.
const SET_GROUP_ID: u32 = 0o2000;

/// Puts an archive over there.
pub(super) fn put(mut session: Session, archive: &mut Archive, path: &Path) -> io::Result<()> {
    let is_new_directory = archive.root()?.kind == Kind::Directory;
    loop {
        match session.greet() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => archive.idle()?,
            other => break other?,
        }
    }
    let mut calls = session.into_calls();
    let name = archive.name().to_owned();
    let target = Target::find(&name, path, &mut calls, &mut || archive.idle())?;
    check_replacement(Path::new(&target.name), is_new_directory, target.there)?;
    let temporary = temporary_name(&target.name)?;
    match target.there {
        // In it, so that it is on the same file system, and that no right to the directory above is needed.
        Some(there) if is_directory(there) => {
            let root = target.path().join(temporary);
            Merge::new(Stage::new(calls, archive, root), target.path()).run()
        }
        there => {
            let root = target.base.join(temporary);
            let mut stage = Stage::new(calls, archive, root);
            stage.fill()?;
            finish(&mut stage, None, &HashSet::new())?;
            replace(&mut stage, &target, there.is_some())
        }
    }
}

/// Something new, or in the place of what is no directory.
fn replace(stage: &mut Stage<'_>, target: &Target, is_there: bool) -> io::Result<()> {
    let wrong = |error| failed("write", &target.name, error);
    let (from, to) = (stage.there(Path::new("")), target.path());
    let to_bytes = || below(&to, Path::new(""));
    if !is_there || stage.calls.features.posix_rename {
        let request = stage.calls.rename(from, to_bytes());
        stage.ask(request).and_then(done).map_err(wrong)?;
        stage.is_kept = true;
        return Ok(());
    }
    // Renaming does not replace: what is there makes room, and comes back if that was in vain.
    let spare = below(&target.base.join(temporary_name(&target.name)?), Path::new(""));
    let aside = Request::Rename(to_bytes(), spare.clone());
    stage.ask(aside).and_then(done).map_err(wrong)?;
    match stage.ask(Request::Rename(from, to_bytes())).and_then(done) {
        Ok(()) => {
            stage.is_kept = true;
            stage.ask(Request::Remove(spare)).and_then(done).map_err(wrong)
        }
        Err(error) => {
            let _ = stage.ask(Request::Rename(spare, to_bytes()));
            Err(wrong(error))
        }
    }
}

/// Sets the modes and times of directories, those in others first, but not of those that were `there` before. They are
/// below `root`, else where they were made.
fn finish(stage: &mut Stage<'_>, root: Option<&Path>, there: &HashSet<PathBuf>) -> io::Result<()> {
    let inherited = match stage.made.get(Path::new("")).map(|made| made.kind) {
        Some(MadeKind::Directory(_)) => {
            let found = stage.ask(Request::LStat(stage.there(Path::new("")))).and_then(found)?;
            found.map_or(0, mode) & SET_GROUP_ID
        }
        _ => return Ok(()),
    };
    let directories = stage.made.iter().filter_map(|(path, made)| match made.kind {
        MadeKind::Directory(attributes) if !there.contains(path) => {
            Some((path.clone(), attributes))
        }
        _ => None,
    });
    let directories: std::collections::BTreeMap<PathBuf, Attributes> = directories.collect();
    for level in levels(directories.keys().map(PathBuf::as_path)).values().rev() {
        let request = |path: &&Path| {
            let attributes = directories.get(*path).copied().unwrap_or_default();
            let permissions = attributes.permissions.map(|mode| mode | inherited);
            let path = below(root.unwrap_or(&stage.root), path);
            Request::SetStat(path, Attributes { permissions, ..attributes })
        };
        let requests = level.iter().map(request).collect();
        for (path, reply) in level.iter().zip(stage.batch(requests)?) {
            done(reply).map_err(|error| failed("finish", path, error))?;
        }
    }
    Ok(())
}

/// A directory into one that is there, entry by entry, by rename.
struct Merge<'a> {
    stage: Stage<'a>,
    to: PathBuf,
    /// The directories that were there before.
    merged: HashSet<PathBuf>,
    /// What is renamed into them, and whether it replaces something.
    moves: Vec<(PathBuf, bool)>,
}

impl<'a> Merge<'a> {
    fn new(stage: Stage<'a>, to: PathBuf) -> Merge<'a> {
        Merge { stage, to, merged: HashSet::from([PathBuf::new()]), moves: Vec::new() }
    }

    fn run(mut self) -> io::Result<()> {
        self.stage.fill()?;
        self.plan()?;
        self.probe()?;
        self.carry_out()?;
        finish(&mut self.stage, Some(&self.to), &self.merged)?;
        // What is left of the temporary name goes with the stage.
        self.stage.made.retain(|path, _| self.merged.contains(path));
        Ok(())
    }

    /// Looks what will have to be done, and whether it can be: nothing has been changed when this fails.
    fn plan(&mut self) -> io::Result<()> {
        let paths: Vec<PathBuf> = self.stage.made.keys().cloned().collect();
        for (_, level) in levels(paths.iter().map(PathBuf::as_path)) {
            let is_looked_at =
                |path: &&Path| path.parent().is_some_and(|parent| self.merged.contains(parent));
            let level: Vec<&Path> = level.into_iter().filter(is_looked_at).collect();
            let look = |path: &&Path| Request::LStat(below(&self.to, path));
            let replies = self.stage.batch(level.iter().map(look).collect())?;
            for (path, reply) in level.into_iter().zip(replies) {
                let there = found(reply).map_err(|error| failed("write", path, error))?;
                let there = there.map(mode);
                let made = self.stage.made.get(path).map(|made| made.kind);
                let is_ours = matches!(made, Some(MadeKind::Directory(_)));
                check_replacement(path, is_ours, there)?;
                match there {
                    Some(there) if is_directory(there) => drop(self.merged.insert(path.into())),
                    there => self.moves.push((path.into(), there.is_some())),
                }
            }
        }
        Ok(())
    }

    /// Moves an empty directory into each of those that something will be moved into: nothing else tells whether that can
    /// be, by rights and by file systems.
    fn probe(&mut self) -> io::Result<()> {
        let parents = self.moves.iter().filter_map(|(path, _)| path.parent());
        let parents: HashSet<PathBuf> = parents.map(Path::to_owned).collect();
        let mut parents: Vec<PathBuf> = parents.into_iter().collect();
        parents.sort();
        let name = temporary_name("probe".as_ref())?;
        let numbered = |number: usize| {
            let mut name = name.clone();
            name.push(format!("-{number}"));
            name
        };
        let here = |number| below(&self.stage.root, Path::new(&numbered(number)));
        let there = |number, parent: &Path| below(&self.to, &parent.join(numbered(number)));
        let numbers = 0..parents.len();
        let mut made = Vec::new();
        let mut moved = Vec::new();
        let mut back = Vec::new();
        for (number, parent) in numbers.zip(&parents) {
            made.push(Request::MkDir(here(number), 0o700));
            moved.push(self.stage.calls.rename(here(number), there(number, parent)));
            back.extend([Request::RmDir(here(number)), Request::RmDir(there(number, parent))]);
        }
        self.stage.batch(made)?;
        let moved = self.stage.batch(moved)?;
        self.stage.batch(back)?;
        for (parent, reply) in parents.iter().zip(moved) {
            done(reply).map_err(|error| failed("write into", parent, error))?;
        }
        Ok(())
    }

    fn carry_out(&mut self) -> io::Result<()> {
        if !self.stage.calls.features.posix_rename {
            let replaced = self.moves.iter().filter(|(_, is_there)| *is_there);
            let remove = replaced.map(|(path, _)| Request::Remove(below(&self.to, path)));
            for reply in self.stage.batch(remove.collect())? {
                done(reply)
                    .or_else(|error| if is_missing(&error) { Ok(()) } else { Err(error) })?;
            }
        }
        let rename = |(path, _): &(PathBuf, bool)| {
            self.stage.calls.rename(self.stage.there(path), below(&self.to, path))
        };
        let requests = self.moves.iter().map(rename).collect();
        for ((path, _), reply) in self.moves.iter().zip(self.stage.batch(requests)?) {
            done(reply).map_err(|error| failed("write", path, error))?;
        }
        Ok(())
    }
}
