//! What a service manager might answer, of any kind: no panic, no memory without bound.
//!
//! The first byte is the number of the call, and what follows are its results; all of it is also a fragment, whose length is made to
//! fit, or nothing else would be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thither_remote::smb::install::svcctl::{Answer, Said, decode, reply};

fuzz_target!(|bytes: &[u8]| {
    let _ = decode(bytes);
    let mut fitting = bytes.to_vec();
    fitting.truncate(4280);
    if fitting.len() >= 16 {
        let length = fitting.len() as u16;
        fitting[..2].copy_from_slice(&[5, 0]);
        fitting[4..8].copy_from_slice(&[0x10, 0, 0, 0]);
        fitting[8..10].copy_from_slice(&length.to_le_bytes());
        fitting[10..12].fill(0);
        if let Ok(fragment) = decode(&fitting) {
            if let Said::Results(results) = fragment.said {
                assert_eq!(results.len(), fitting.len() - 24);
            }
            // A byte more is another fragment, or none.
            assert!(decode(&[&fitting[..], &[0]].concat()).is_err());
        }
    }
    let Some((&opnum, results)) = bytes.split_first() else { return };
    let Ok(reply) = reply(opnum.into(), results) else { return };
    if let Answer::Settings(settings) = reply.answer {
        // Of each unit of two bytes come three at most.
        assert!(settings.command.len() + settings.account.len() <= 2 * results.len());
        assert!(!settings.command.contains('\0') && !settings.account.contains('\0'));
    }
});
