//! TLS connections as descriptors.
//!
//! [`connect`] completes the handshake on a TCP connection and returns one end of a socket pair: what is written
//! there leaves encrypted, what arrives can be read there. One thread serves all of them: it starts with the
//! first connection and ends after the last.
//!
//! ```no_run
//! use std::net::TcpStream;
//! use std::time::Duration;
//! use thither_place::tls::{self, Certificates};
//!
//! let config = Certificates { ca: Some("ca.pem".into()), ..Certificates::default() }.config()?;
//! let tcp = TcpStream::connect("engine.example:2376")?;
//! let stream = tls::connect(tcp, config, "engine.example", Duration::from_secs(10))?;
//! # let _: std::os::fd::OwnedFd = stream;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Between two keys
//! [`connect_pinned`] and [`accept_pinned`] are for two programs of ours that have met before. Each has an Ed25519 [`Key`] and shows
//! its public half as it is (RFC 7250), in place of a certificate; each proves that it has the private one. It is TLS 1.3 always,
//! without tickets, resumption and early data, so who is no longer known is out at once.
//!
//! ```no_run
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//! use thither_place::tls::{self, Key};
//!
//! let (ours, theirs) = (Key::generate()?, Key::generate()?);
//! let (server, known, limit) = (theirs.fingerprint(), ours.fingerprint(), Duration::from_secs(10));
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let tcp = TcpStream::connect(listener.local_addr()?)?;
//! let client = std::thread::spawn(move || tls::connect_pinned(tcp, &ours, server, "localhost", limit));
//! let (stream, who) = tls::accept_pinned(listener.accept()?.0, &theirs, limit)?;
//! assert_eq!(who, known);
//! # drop((client, stream));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The two ends
//!
//! | on the descriptor | on the connection |
//! |---|---|
//! | `shutdown(SHUT_WR)` | `close_notify` after all that was written; the other direction goes on |
//! | `close` | the same, then the connection is closed; what the peer does not take for [`LINGER`] is lost |
//! | the end of input, while writing goes on | the peer's `close_notify` |
//! | the end of input and `EPIPE` | the connection ended without `close_notify`, or an alert: it was cut |
//! | `EPIPE`, while reading goes on | the peer takes no more |
//! | a write blocks | the peer does not read |
//!
//! All that arrived before an end can be read before it. Each direction holds at most 300 KiB in memory, and only while its
//! reader lags behind, besides what the kernel's sockets hold, and stops reading meanwhile.
//!
//! # Differences from a TCP connection
//! A cut cannot be told from an end by reading alone: a socket pair has no `ECONNRESET` of its own to give. Protocols say how long
//! their messages are; a write tells the two apart. Bytes leave after a `write` has returned: a process that ends right after its
//! last one, without an answer to it, may take them along. Keep-alive is the business of whoever made the TCP connection. What the peer
//! says of our certificate in TLS 1.3 comes after the handshake: where it asked for one, [`connect`] waits a moment for it. [`connect_pinned`] does
//! not, as what is spoken there begins with a greeting of the server.

mod error;
mod config;
mod handshake;
mod key;
mod pinned;
mod bridge;
mod link;
mod socket;

pub use config::{Certificates, ClientConfig};
pub use error::Error;
pub use handshake::connect;
pub use key::{Fingerprint, Key, NoFingerprint, NoKey};
pub use link::LINGER;
pub use pinned::{accept_pinned, connect_pinned};
