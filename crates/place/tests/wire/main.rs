//! Both halves of the wire, each with the other side's frames written by hand.

mod client;
mod server;
