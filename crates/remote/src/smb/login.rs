//! Who logs on, and where they are known.

use std::env;
use std::fs;

use thither_place::users::Accounts;

use super::failure::Fault;
use super::session::Target;

/// The user and the domain, of a name such as `DOMAIN\user` or `user@REALM`; what the name says counts. Without a name it is the
/// user of this process.
pub(super) fn who(name: Option<&str>, domain: Option<&str>) -> (String, String) {
    let domain = domain.unwrap_or_default();
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return (own_name(), domain.to_owned());
    };
    let (domain, user) = match name.split_once('\\') {
        Some(split) => split,
        None => match name.rsplit_once('@') {
            Some((user, realm)) => (realm, user),
            None => (domain, name),
        },
    };
    (user.to_owned(), domain.to_owned())
}

fn own_name() -> String {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let accounts = Accounts { passwd, group: Vec::new() };
    let entry = accounts.by_uid(rustix::process::geteuid().as_raw());
    let name = entry.and_then(|entry| entry.name.to_str().map(String::from));
    name.or_else(|| env::var("USER").ok()).unwrap_or_default()
}

/// What can be refused before anybody is asked.
pub(super) fn check(target: &Target) -> Result<(), Fault> {
    if target.user.is_empty() {
        return Err(Fault::NoUser);
    }
    if target.user.eq_ignore_ascii_case("guest") {
        return Err(Fault::GuestName { user: target.user.clone() });
    }
    let password = target.password.as_ref().ok_or(Fault::NoPassword)?;
    std::str::from_utf8(password.expose()).map_err(|_| Fault::NotText)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, domain: Option<&str>, expected: (&str, &str)) {
        let (user, domain) = who(Some(name), domain);
        assert_eq!((user.as_str(), domain.as_str()), expected);
    }

    #[test]
    fn names_are_split() {
        check("ann", None, ("ann", ""));
        check("ann", Some("OFFICE"), ("ann", "OFFICE"));
        check("OFFICE\\ann", None, ("ann", "OFFICE"));
        check("OFFICE\\ann", Some("OTHER"), ("ann", "OFFICE"));
        check("ann@office.example", None, ("ann", "office.example"));
        check("OFFICE\\ann@home", None, ("ann@home", "OFFICE"));
        check(".\\ann", None, ("ann", "."));
    }

    #[test]
    fn without_a_name_it_is_our_own() {
        assert!(!who(None, None).0.is_empty());
        assert_eq!(who(Some(""), Some("D")), who(None, Some("D")));
    }
}
