//! Users and groups of a place that has `passwd(5)` and `group(5)` files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::error::quoted;

/// What a process becomes for a user: the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<Gid>,
}

impl Identity {
    /// Becomes it, for good. Makes system calls only, so that it may be used between fork and exec; there the
    /// process has one thread.
    ///
    /// # Errors
    /// `EPERM` without the right to, `EINVAL` for an id that the user namespace has no mapping for.
    pub fn assume(&self) -> rustix::io::Result<()> {
        set_thread_groups(&self.groups)?;
        let gid = Gid::from_raw(self.gid);
        set_thread_res_gid(gid, gid, gid)?;
        let uid = Uid::from_raw(self.uid);
        set_thread_res_uid(uid, uid, uid)
    }
}

/// A user: credentials and what `passwd(5)` says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The credentials.
    pub identity: Identity,
    /// The name, home and shell; `None` for a bare number without an entry.
    pub entry: Option<Entry>,
}

/// A line of `passwd(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Field 1.
    pub name: OsString,
    /// Field 6.
    pub home: PathBuf,
    /// Field 7; empty means `/bin/sh`.
    pub shell: PathBuf,
    uid: u32,
    gid: u32,
}

/// Why a user is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such name.
    #[error("no user {} in its passwd file", quoted(.0))]
    NoUser(String),
    /// No such group.
    #[error("no group {} in its group file", quoted(.0))]
    NoGroup(String),
    /// A number that has no entry, so its group is unknown.
    #[error("user {0} has no entry in its passwd file, so its group is unknown")]
    UnknownGroup(u32),
}

impl UserError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            UserError::UnknownGroup(uid) => Some(format!("name the group too: `{uid}:{uid}`")),
            UserError::NoUser(name)
                if name.starts_with(|c: char| !c.is_alphabetic() && c != '_') =>
            {
                Some("a user is a name, or an id from 0 to 4294967294".into())
            }
            UserError::NoUser(name) if name.is_empty() => Some("name a user".into()),
            UserError::NoUser(_) => Some("a numeric id, as `1000:1000`, needs no entry".into()),
            UserError::NoGroup(_) => None,
        }
    }
}

/// The text of a place's `passwd(5)` and `group(5)`. Hostile, as all that comes from over there: lines that do
/// not parse are passed over.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The text of its `/etc/passwd`; empty if it has none.
    pub passwd: Vec<u8>,
    /// The text of its `/etc/group`; empty if it has none.
    pub group: Vec<u8>,
}

impl Accounts {
    /// Finds the user for `name`, `uid`, `name:group` or `uid:gid`. With a group named the supplementary groups
    /// are none, as for `chroot --userspec`.
    ///
    /// # Errors
    /// When a name has no entry, or a number without one comes without a group.
    pub fn resolve(&self, spec: &str) -> Result<Account, UserError> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let named = self.entries().find(|entry| entry.name == user);
        let entry = named.or_else(|| self.by_uid(number(user.as_bytes())?));
        let uid = match (&entry, number(user.as_bytes())) {
            (Some(entry), _) => entry.uid,
            (None, Some(uid)) => uid,
            (None, None) => return Err(UserError::NoUser(user.into())),
        };
        let (gid, groups) = match (group, &entry) {
            (Some(group), _) => (self.gid(group)?, Vec::new()),
            (None, Some(entry)) => (entry.gid, self.groups_of(entry)),
            (None, None) => return Err(UserError::UnknownGroup(uid)),
        };
        Ok(Account { identity: Identity { uid, gid, groups }, entry })
    }

    /// The first entry of this user id.
    #[must_use]
    pub fn by_uid(&self, uid: u32) -> Option<Entry> {
        self.entries().find(|entry| entry.uid == uid)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        lines(&self.passwd).filter_map(|fields| match fields[..] {
            [name, _, uid, gid, _, home, shell] => Some(Entry {
                name: os(name),
                home: os(home).into(),
                shell: os(shell).into(),
                uid: number(uid)?,
                gid: number(gid)?,
            }),
            _ => None,
        })
    }

    fn gid(&self, group: &str) -> Result<u32, UserError> {
        let named = lines(&self.group).find_map(|fields| match fields[..] {
            [name, _, gid, _] if name == group.as_bytes() => number(gid),
            _ => None,
        });
        named.or_else(|| number(group.as_bytes())).ok_or_else(|| UserError::NoGroup(group.into()))
    }

    fn groups_of(&self, entry: &Entry) -> Vec<Gid> {
        let member = |members: &[u8]| {
            members.split(|&byte| byte == b',').any(|name| name == entry.name.as_encoded_bytes())
        };
        let listed = lines(&self.group).filter_map(|fields| match fields[..] {
            [_, _, gid, members] if member(members) => number(gid),
            _ => None,
        });
        // NGROUPS_MAX of limits.h: more make setgroups(2) fail.
        let all = [entry.gid].into_iter().chain(listed.filter(|&gid| gid != entry.gid));
        all.take(65536).map(Gid::from_raw).collect()
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b':').collect())
}

/// An id; all ones means "unchanged" to the system calls and is none.
fn number(text: &[u8]) -> Option<u32> {
    // `parse` alone would take a sign.
    let digits = std::str::from_utf8(text).ok().filter(|_| text.iter().all(u8::is_ascii_digit))?;
    digits.parse().ok().filter(|&id| id != u32::MAX)
}

fn os(text: &[u8]) -> OsString {
    OsString::from_vec(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken line\n:::\n\
                      guest:x:1000:1001:Guest,,:/home/guest:\nodd:x:4294967295:1:::/bin/sh\n12:x:77:77::/:/bin/sh\n";
        let group = "root:x:0:\nwheel:x:10:root,guest\nguest:x:1001:guest\n";
        Accounts { passwd: passwd.into(), group: group.into() }
    }

    #[track_caller]
    fn check(spec: &str, expected: Result<(u32, u32, &[u32]), UserError>) {
        let found = accounts().resolve(spec).map(|account| account.identity);
        let expected = expected.map(|(uid, gid, groups)| Identity {
            uid,
            gid,
            groups: groups.iter().copied().map(Gid::from_raw).collect(),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn users() {
        check("root", Ok((0, 0, &[0, 10])));
        check("guest", Ok((1000, 1001, &[1001, 10])));
        check("1000", Ok((1000, 1001, &[1001, 10])));
        check("guest:wheel", Ok((1000, 10, &[])));
        check("5:6", Ok((5, 6, &[])));
        check("12", Ok((77, 77, &[77])));
        check("5", Err(UserError::UnknownGroup(5)));
        check("nobody", Err(UserError::NoUser("nobody".into())));
        check("odd", Err(UserError::NoUser("odd".into())));
        check("4294967295:1", Err(UserError::NoUser("4294967295".into())));
        check("1:4294967295", Err(UserError::NoGroup("4294967295".into())));
        check("+5:6", Err(UserError::NoUser("+5".into())));
        check("", Err(UserError::NoUser("".into())));
        check("root:nogroup", Err(UserError::NoGroup("nogroup".into())));
    }

    #[test]
    fn entries_by_uid() {
        let guest = accounts().by_uid(1000).unwrap();
        assert_eq!((guest.home, guest.shell), ("/home/guest".into(), "".into()));
        assert_eq!(accounts().by_uid(3), None);
    }
}
