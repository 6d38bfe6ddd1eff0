//! `thither cp` with its flags, at every kind of place: this machine, a root, containers, a host.

#[path = "../common/mod.rs"]
mod common;
#[path = "../hops/way.rs"]
mod way;
mod there;
mod places;
mod flags;
