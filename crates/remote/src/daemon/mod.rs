//! Daemons: `thither serve` over there runs what we ask for, by [`wire`](thither_place::wire).
//!
//! A Unix socket is for one user and root: each side asks the kernel whose the other end is. Over TCP there is TLS 1.3, and each side has
//! a key that the other knows: [`store`] is where they are kept, [`pairing`] how two sides come to know each other. Nothing is believed
//! at first sight. Samba's word for who its client is counts where it is root who gives it: [`samba`].

pub mod keys;
pub mod store;
pub mod pairing;
mod files;
mod dial;
mod place;
pub mod samba;
pub mod serve;

pub use keys::{Peer, StoreError};
pub use pairing::{TOKEN_LIFETIME, Token, TokenError};
pub use place::{At, Daemon, KEEP_ALIVE, TIMEOUT, pair};
pub use samba::Samba;
pub use store::Store;

/// The port of daemons, which pushy's had.
pub const PORT: u16 = 10101;

/// The socket of our user's daemon.
///
/// # Errors
/// When the folder that it is in is not ours alone.
pub fn default_socket() -> std::io::Result<std::path::PathBuf> {
    Ok(thither_place::state::folder_path().join("daemon.sock"))
}
