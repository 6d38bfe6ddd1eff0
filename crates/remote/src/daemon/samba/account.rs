//! The user of this machine that a command runs as.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use thither_place::users::{Accounts, Entry};

use super::request::Request;

/// What login(1) gives to users, with the folders of the administrator last.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/// Where there are users.
const FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];
/// Variables of the daemon that are everybody's, by their beginnings.
const COMMON: [&str; 3] = ["LANG", "LC_", "TZ"];

/// A user as whom something may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// As the system has it, which is as the list has it.
    pub(crate) name: String,
    /// Where it begins: its home, or the root where there is none.
    pub(crate) start: PathBuf,
    /// What its commands start with, besides those that each user has of its own.
    pub(crate) variables: Vec<(OsString, OsString)>,
}

/// Whether the client may have anything here, and as whom; else why not.
pub(crate) fn admit(request: &Request, users: &[String]) -> Result<Account, &'static str> {
    let name = &request.unix_name;
    if !request.authenticated {
        return Err("it is a guest or anonymous");
    }
    if name.is_empty() || !users.contains(name) {
        return Err("it is not on the list of users");
    }
    let (entry, uid) = look_up(name).ok_or("the system does not know this user")?;
    agree(request, uid)?;
    let start = Some(entry.home).filter(|home| home.is_absolute() && home.is_dir());
    Ok(Account {
        name: name.clone(),
        start: start.unwrap_or_else(|| "/".into()),
        variables: variables(env::vars_os()),
    })
}

/// Whether smbd and the system mean the same user, who is root only if it is called so.
fn agree(request: &Request, uid: u32) -> Result<(), &'static str> {
    match uid {
        _ if u64::from(uid) != request.ids.0 => Err("the system has another id for this user"),
        0 if request.unix_name != "root" => Err("it is root by another name"),
        _ => Ok(()),
    }
}

/// The user of this name, by the system's files or by what `getent(1)` says, and its id.
pub(super) fn look_up(name: &str) -> Option<(Entry, u32)> {
    let [passwd, group] = FILES.map(|path| fs::read(path).unwrap_or_default());
    let mut accounts = Accounts { passwd, group };
    if accounts.resolve(name).is_err() && !name.starts_with('-') {
        let said = Command::new("getent").args(["passwd", name]).output().ok()?;
        accounts.passwd.extend(said.stdout);
    }
    let account = accounts.resolve(name).ok()?;
    // A number or a group behind a colon is no name.
    let entry = account.entry.filter(|entry| entry.name == name)?;
    Some((entry, account.identity.uid))
}

/// Those of root's daemon are root's own; a user gets what a login would give.
fn variables(ours: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let is_common = |name: &OsString| {
        let name = name.as_encoded_bytes();
        COMMON.iter().any(|common| name.starts_with(common.as_bytes()))
    };
    let path = [("PATH".into(), PATH.into())];
    path.into_iter().chain(ours.filter(|(name, _)| is_common(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn request(unix_name: &str, uid: u64) -> Request {
        Request {
            client: "192.0.2.1".into(),
            account: "someone".into(),
            domain: "HOST".into(),
            unix_name: unix_name.into(),
            ids: (uid, uid),
            authenticated: true,
        }
    }

    #[track_caller]
    fn check(request: &Request, users: &[&str], expected: Result<&str, &str>) {
        let users: Vec<String> = users.iter().copied().map(str::to_owned).collect();
        let found = admit(request, &users);
        assert_eq!(found.as_ref().map(|account| &*account.name).map_err(|why| *why), expected);
    }

    #[test]
    fn who_is_admitted() {
        let unlisted = Err("it is not on the list of users");
        check(&request("root", 0), &["root"], Ok("root"));
        check(&request("root", 0), &["daemon"], unlisted);
        check(&request("root", 0), &["Root", "roo", "root "], unlisted);
        check(&request("", 0), &[""], unlisted);
        check(&request("daemon", 1), &["root", "daemon"], Ok("daemon"));
        let other_id = Err("the system has another id for this user");
        check(&request("daemon", 0), &["daemon"], other_id);
        check(&request("root", 1 << 32), &["root"], other_id);
        // Words that the look-up takes for something else than a name.
        let unknown = Err("the system does not know this user");
        for odd in ["0", "root:daemon", "no-such-user", "-s", "root\n"] {
            check(&request(odd, 0), &[odd], unknown);
        }
        let guest = Request { authenticated: false, ..request("root", 0) };
        check(&guest, &["root"], Err("it is a guest or anonymous"));
    }

    #[test]
    fn who_is_root() {
        assert_eq!(agree(&request("root", 0), 0), Ok(()));
        assert_eq!(agree(&request("toor", 0), 0), Err("it is root by another name"));
        let users = ["daemon", "root", "no-such-user"].map(str::to_owned).to_vec();
        let samba = crate::daemon::Samba::new("/np".as_ref(), "a", users).unwrap();
        assert_eq!(samba.roots(), ["root"]);
    }

    #[test]
    fn a_user_does_not_get_the_variables_of_root() {
        #[track_caller]
        fn check(name: &str, expected: Expect) {
            let ours = [(OsString::from(name), OsString::from("x"))];
            expected.assert_eq(&format!("{:?}", &variables(ours.into_iter())[1..]));
        }
        for name in ["HOME", "SECRET", "PATH", "XDG_RUNTIME_DIR", "LD_PRELOAD"] {
            check(name, expect!["[]"]);
        }
        check("LANG", expect![[r#"[("LANG", "x")]"#]]);
        check("LC_ALL", expect![[r#"[("LC_ALL", "x")]"#]]);
    }
}
