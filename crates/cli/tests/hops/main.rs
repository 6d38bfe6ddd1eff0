//! Places beyond others: real servers, a real engine, real roots.

#[path = "../common/mod.rs"]
mod common;
mod way;
mod chroot;
mod docker;
mod network;
mod ssh;
