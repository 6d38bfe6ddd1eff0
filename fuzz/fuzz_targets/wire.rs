//! Frames of any kind from either side: no panic, no memory without bound, and what was read says the same again.
//!
//! The first byte chooses whose frames they are, and how they are cut into what comes at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thither_place::wire::frame::{Arrived, Incoming, LONGEST_SMALL, version};
use thither_place::wire::{Kind, Refusal, Request, Side};

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, mut bytes)) = bytes.split_first() else { return };
    let side = if choice & 1 == 0 { Side::Client } else { Side::Server };
    let at_once = usize::from(choice >> 1) + 1;
    let mut incoming = Incoming::from(side).at_most(LONGEST_SMALL);
    while !bytes.is_empty() {
        let (mut now, rest) = bytes.split_at(at_once.min(bytes.len()));
        bytes = rest;
        while !now.is_empty() {
            match incoming.take(&mut now) {
                Err(_) => return,
                Ok(None) => {}
                Ok(Some(Arrived::Data(kind, length))) => {
                    assert!(kind.is_data() && kind.side() == side && length <= kind.longest());
                    // A piece comes past this.
                    let here = length.min(now.len());
                    now = &now[here..];
                    bytes = &bytes[(length - here).min(bytes.len())..];
                }
                Ok(Some(Arrived::Frame(kind, body))) => {
                    assert!(kind.side() == side && body.len() <= LONGEST_SMALL);
                    read(kind, &body);
                }
            }
        }
    }
});

fn read(kind: Kind, body: &[u8]) {
    match kind {
        Kind::Hello | Kind::Welcome => drop(version(body)),
        Kind::Request => {
            if let Ok(request) = Request::decode(body) {
                assert_eq!(request.encode(), body, "{request:?}");
                if let Request::Spawn(spawn) = request {
                    drop(thither_place::wire::session::command(spawn));
                }
            }
        }
        Kind::Refused => {
            // Its texts are made UTF-8, and cut.
            if let Ok(refusal) = Refusal::decode(body) {
                let again = Refusal::decode(&refusal.encode()).expect("it was written by us");
                assert_eq!(again.encode(), refusal.encode());
            }
        }
        _ => {}
    }
}
