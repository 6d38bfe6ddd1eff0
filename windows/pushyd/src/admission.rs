//! Who may open the pipe, in the Security Descriptor Definition Language (MS-DTYP 2.5.1).

/// To read and write, but not to make another instance of the pipe (FILE_APPEND_DATA, 4), which would let a client pose as
/// the service: FILE_GENERIC_READ and FILE_GENERIC_WRITE but for that.
const CLIENT: &str = "0x12019b";

/// What is admitted besides, or instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    /// An account by its name, as `DOMAIN\user`, or its identifier, `S-1-5-...`.
    Account(String),
    /// This access list instead of all else: `D:(A;;...)`.
    List(String),
}

impl Admit {
    /// Reads what the command line has.
    #[must_use]
    pub fn of(text: &str) -> Admit {
        match text.starts_with("D:") {
            true => Admit::List(text.into()),
            false => Admit::Account(text.into()),
        }
    }
}

/// Whether it is an identifier already.
#[must_use]
pub fn is_sid(account: &str) -> bool {
    account.strip_prefix("S-1-").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    })
}

/// The descriptor of the pipe: `own`, who we are, may make instances; administrators, the system and the accounts with these
/// identifiers may come; nobody without a name. A `list` stands for all of them but us.
#[must_use]
pub fn descriptor(own: &str, accounts: &[String], list: Option<&str>) -> String {
    let ours = format!("(A;;GA;;;{own})");
    if let Some(list) = list.and_then(|list| list.strip_prefix("D:")) {
        let entries = list.find('(').unwrap_or(list.len());
        let (_, entries) = list.split_at(entries);
        return format!("D:P{ours}{entries}");
    }
    let mut all = format!("D:P(D;;GA;;;AN){ours}");
    for account in ["BA", "SY"].into_iter().chain(accounts.iter().map(String::as_str)) {
        all += &format!("(A;;{CLIENT};;;{account})");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_alone() {
        let expected = "D:P(D;;GA;;;AN)(A;;GA;;;S-1-5-18)(A;;0x12019b;;;BA)(A;;0x12019b;;;SY)";
        assert_eq!(descriptor("S-1-5-18", &[], None), expected);
    }

    #[test]
    fn others() {
        let accounts = ["S-1-5-21-1".to_owned()];
        assert!(descriptor("x", &accounts, None).ends_with("(A;;0x12019b;;;S-1-5-21-1)"));
        for list in ["D:(A;;GR;;;WD)", "D:PAI(A;;GR;;;WD)"] {
            assert_eq!(descriptor("x", &[], Some(list)), "D:P(A;;GA;;;x)(A;;GR;;;WD)");
        }
        assert_eq!(descriptor("x", &[], Some("D:")), "D:P(A;;GA;;;x)");
    }

    #[test]
    fn what_it_is() {
        assert_eq!(Admit::of("D:(A"), Admit::List("D:(A".into()));
        assert_eq!(Admit::of(r"D\me"), Admit::Account(r"D\me".into()));
        for (text, expected) in
            [("S-1-5-18", true), ("S-1-", false), ("S-1-x", false), ("me", false)]
        {
            assert_eq!(is_sid(text), expected, "{text}");
        }
    }
}
