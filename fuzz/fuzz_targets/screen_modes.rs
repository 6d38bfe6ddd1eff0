//! Output of any kind: split anywhere it leaves the same state, and what undoes it leaves nothing to undo.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thither_term::ScreenModes;

fuzz_target!(|bytes: &[u8]| {
    let Some((&at, output)) = bytes.split_first() else { return };
    let mut whole = ScreenModes::default();
    whole.observe(output);
    let (first, second) = output.split_at(usize::from(at) % (output.len() + 1));
    let mut split = ScreenModes::default();
    split.observe(first);
    split.observe(second);
    assert_eq!(split, whole);

    let undo = whole.undo();
    assert!(undo.len() <= 512, "the terminal's keeper remembers no more: {}", undo.escape_ascii());
    assert_eq!(whole.undo(), b"");
    // On a terminal in its default state it changes nothing that is followed.
    let mut fresh = ScreenModes::default();
    fresh.observe(&undo);
    assert_eq!(fresh.undo(), b"", "{}", undo.escape_ascii());
});
