//! What smbd might say of a client, of any kind: no panic, no memory without bound, and nobody is taken for somebody by bytes that
//! say less.
//!
//! The length in front is made to fit, or nothing else would be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thither_remote::daemon::samba::request::{LONGEST, Request};

fuzz_target!(|bytes: &[u8]| {
    let _ = Request::decode(bytes);
    let mut fitting = bytes.to_vec();
    fitting.truncate(LONGEST);
    let Some(length) = fitting.len().checked_sub(4) else { return };
    fitting[..4].copy_from_slice(&(length as u32).to_be_bytes());
    let Ok(request) = Request::decode(&fitting) else { return };
    let texts = [&request.client, &request.account, &request.domain, &request.unix_name];
    assert!(texts.iter().all(|text| text.len() <= fitting.len() && !text.contains('\0')));
    // A byte less is another request, or none.
    fitting.pop();
    fitting[..4].copy_from_slice(&(length.saturating_sub(1) as u32).to_be_bytes());
    assert!(Request::decode(&fitting).is_err());
});
