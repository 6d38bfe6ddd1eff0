//! passwd and group files of a hostile place: whatever they hold, a user is found or refused, and no id is the one
//! that means "unchanged" to the kernel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thither_place::users::Accounts;

fuzz_target!(|input: (&str, Vec<u8>, Vec<u8>)| {
    let (user, passwd, group) = input;
    let accounts = Accounts { passwd, group };
    if let Ok(account) = accounts.resolve(user) {
        let identity = &account.identity;
        assert!(identity.uid != u32::MAX && identity.gid != u32::MAX, "{identity:?}");
        assert!(identity.groups.len() <= 65536);
        assert!(identity.groups.iter().all(|group| group.as_raw() != u32::MAX));
        if let Some(entry) = account.entry {
            assert!(accounts.by_uid(identity.uid).is_some(), "{entry:?}");
        }
    }
});
