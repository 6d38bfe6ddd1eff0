//! Bytes of any kind as a value from an interpreter: no panic, no space without bound, and what was read is the same after
//! being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thither_python::marshal::{Decoder, Encoded, Limits, Value};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let mut skipped = Decoder::new(bytes, &limits);
    let skipped = skipped.skip().map(|()| skipped.rest());
    let _ = Decoder::new(bytes, &limits).value::<Vec<String>>();
    let _ = Decoder::new(bytes, &limits).refs();

    let mut decoder = Decoder::new(bytes, &limits);
    let Ok(value) = decoder.value::<Value>() else { return };
    assert_eq!(skipped.expect("what can be read can be passed over"), decoder.rest());
    let mut first = Encoded::default();
    // A list as a key, say.
    if first.value(&value, 0).is_err() {
        return;
    }
    let mut raws: Vec<_> = first.raws.into_iter().map(Some).collect();
    let mut again = Decoder::with(&first.bytes, &limits, &first.refs, &mut raws);
    let value = again.value::<Value>().expect("we have written it");
    again.end().expect("we have written no more");
    let mut second = Encoded::default();
    second.value(&value, 0).expect("it was written before");
    // NaN is not the same as itself, but its bytes are.
    assert!(second.bytes == first.bytes && second.refs == first.refs);
});
