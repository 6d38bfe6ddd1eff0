//! `thither cp` with its flags, at every kind of place: this machine, a root, containers, a host.

#[path = "../common/mod.rs"]
mod common;
#[path = "../hops/way.rs"]
#[allow(dead_code, reason = "the part for hosts alone is used")]
mod way;
mod there;
mod places;
mod flags;
