//! Which ids there are in a user namespace: the caller's own as 0, or with it all that `/etc/subuid` and `/etc/subgid`
//! grant, mapped by the set-user-id programs newuidmap(1) and newgidmap(1).

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use thither_place::users::Accounts;

/// The ids that an ordinary user has in a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// User and group 0 only, which are the caller's outside; and all of the subordinate ones if a command is to run as
    /// another user.
    #[default]
    Automatic,
    /// Also 1 and so on, which are outside the subordinate ones that `/etc/subuid` and `/etc/subgid` grant to the
    /// caller (subuid(5)).
    Subordinate,
}

/// Lines of user_namespaces(7), written by the process itself: user and group 0 are the caller's own.
#[derive(Debug)]
pub(crate) struct OwnMaps {
    pub(crate) uid_map: String,
    pub(crate) gid_map: String,
}

impl OwnMaps {
    pub(crate) fn of_caller() -> OwnMaps {
        let (uid, gid) = caller();
        OwnMaps { uid_map: format!("0 {uid} 1"), gid_map: format!("0 {gid} 1") }
    }
}

/// Maps that only another process may write.
#[derive(Debug)]
pub(crate) struct SubordinateMaps {
    uids: Vec<(u32, u32)>,
    gids: Vec<(u32, u32)>,
}

impl SubordinateMaps {
    /// What the files grant to us.
    ///
    /// # Errors
    /// When a file cannot be read, or grants nothing.
    pub(crate) fn of_caller() -> io::Result<SubordinateMaps> {
        let (uid, _) = caller();
        // By name, as adduser(8) writes it, or by number.
        let accounts = Accounts { passwd: read("/etc/passwd")?, group: Vec::new() };
        let mut names = vec![uid.to_string()];
        names.extend(accounts.by_uid(uid).and_then(|entry| entry.name.into_string().ok()));
        let granted = |path: &str| {
            let ranges = ranges(&String::from_utf8_lossy(&read(path)?), &names);
            match ranges.is_empty() {
                true => Err(io::Error::other(format!(
                    "{path} grants no ids to user {}",
                    names.join(", ")
                ))),
                false => Ok(ranges),
            }
        };
        Ok(SubordinateMaps { uids: granted("/etc/subuid")?, gids: granted("/etc/subgid")? })
    }

    /// Writes them for the process, which is in a new user namespace.
    ///
    /// # Errors
    /// What the programs say.
    pub(crate) fn write(&self, pid: i32) -> io::Result<()> {
        let (uid, gid) = caller();
        run("newuidmap", &arguments(pid, uid, &self.uids))?;
        run("newgidmap", &arguments(pid, gid, &self.gids))
    }
}

fn caller() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

/// The ranges, first id and number, of the lines `NAME:FIRST:NUMBER` (subuid(5)) of these names.
fn ranges(text: &str, names: &[String]) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let mut number = || fields.next()?.trim().parse::<u32>().ok();
        let (first, count) = (number()?, number()?);
        (names.iter().any(|known| known == name) && count > 0).then_some((first, count))
    };
    text.lines().filter_map(range).collect()
}

/// `PID INSIDE OUTSIDE NUMBER...`: our own id as 0, the others from 1 on without a gap.
fn arguments(pid: i32, own: u32, ranges: &[(u32, u32)]) -> Vec<String> {
    let mut next: u32 = 1;
    let mut arguments = vec![pid.to_string(), "0".into(), own.to_string(), "1".into()];
    for &(first, count) in ranges {
        // 2^32 - 1 is no id.
        let count = count.min(u32::MAX - next);
        if count > 0 {
            arguments.extend([next, first, count].map(|number| number.to_string()));
        }
        next += count;
    }
    arguments
}

fn run(program: &str, arguments: &[String]) -> io::Result<()> {
    // Often not on the PATH of scripts, and a set-user-id program is better not looked for on anybody's PATH.
    let known = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin", "/run/wrappers/bin"];
    let path =
        known.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    let Some(path) = path else {
        let text = format!("{program} is not installed");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    };
    let output = Command::new(path).args(arguments).env("LC_ALL", "C").output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().trim_start_matches(&format!("{program}: "));
            Err(io::Error::other(format!("{program}: {said}")))
        }
    }
}

/// What to do about subordinate ids that cannot be had.
pub(crate) fn hint(error: &io::Error) -> String {
    if error.to_string().ends_with("is not installed") {
        return "install it (Debian: the package uidmap), or run this as root".into();
    }
    // As it says itself, in English whatever the locale is here.
    if error.to_string().contains("Cannot determine your user name") {
        return "give the user a name in the passwd file, or run this as root".into();
    }
    let range =
        free_range(&["/etc/subuid", "/etc/subgid"].map(|path| read(path).unwrap_or_default()));
    format!(
        "as root: `usermod --add-subuids {range} --add-subgids {range} USER`; or run this as root"
    )
}

/// The first 65536 ids, as usermod(8) takes them, above all that the files grant to anybody.
fn free_range(files: &[Vec<u8>]) -> String {
    let end = |line: &str| {
        let mut fields = line.split(':').skip(1);
        let mut number = || fields.next()?.trim().parse::<u32>().ok();
        Some(number()?.saturating_add(number()?))
    };
    let texts = files.iter().map(|text| String::from_utf8_lossy(text));
    let first = texts.flat_map(|text| text.lines().filter_map(end).max()).fold(100_000, u32::max);
    format!("{first}-{}", first.saturating_add(65535))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_user() {
        let text =
            "ann:100000:65536\n# no\nbob:165536:65536\n1000:300000:1\nann:x:1\nann:7:0\nann:9:2\n";
        let of = |names: &[&str]| {
            ranges(text, &names.iter().map(|&name| name.into()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["1000", "ann"]), [(100_000, 65536), (300_000, 1), (9, 2)]);
        assert_eq!(of(&["an"]), []);
    }

    #[test]
    fn nobody_is_told_to_take_the_ids_of_another() {
        assert_eq!(free_range(&[Vec::new(), b"junk".to_vec()]), "100000-165535");
        let files = [b"a:100000:65536\nb:165536:10\n".to_vec(), b"c:300000:5".to_vec()];
        assert_eq!(free_range(&files), "300005-365540");
    }

    #[test]
    fn ids_follow_on_each_other() {
        let arguments = |ranges: &[(u32, u32)]| arguments(7, 1000, ranges)[1..].join(" ");
        assert_eq!(arguments(&[(100_000, 10), (5, 3)]), "0 1000 1 1 100000 10 11 5 3");
        assert_eq!(arguments(&[(5, u32::MAX), (9, 9)]), "0 1000 1 1 5 4294967294");
    }
}
