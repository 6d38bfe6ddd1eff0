//! Bytes of any kind as an address and as an operand: they parse or are refused, and what was parsed is the same after
//! being written and parsed again.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use thither::{Address, Operand};

fuzz_target!(|bytes: &[u8]| {
    let text = OsStr::from_bytes(bytes);
    match Address::parse(text) {
        Ok(address) => assert_eq!(canonical(&address), address),
        Err(error) => assert!(error.offset() <= bytes.len(), "{error}"),
    }
    match Operand::parse(text) {
        Ok(Operand { place: Some(place), path }) => {
            let mut again = canonical(&place).to_string().into_bytes();
            again.extend_from_slice(b"::");
            again.extend_from_slice(path.as_os_str().as_bytes());
            let again = Operand::parse(OsStr::from_bytes(&again));
            assert_eq!(again, Ok(Operand { place: Some(place), path }));
        }
        Ok(Operand { place: None, path }) => assert_eq!(path.as_os_str(), text),
        Err(error) => assert!(error.offset() <= bytes.len(), "{error}"),
    }
});

/// The address that the canonical text of this one gives.
fn canonical(address: &Address) -> Address {
    let text = address.to_string();
    let again = text.parse::<Address>().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again.to_string(), text);
    again
}
