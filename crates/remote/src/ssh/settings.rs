//! What is said about a host before anything is asked of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which implementation of ssh is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Native {
    /// The user's own `ssh`, if there is one and no password was given, else the one that is built in.
    #[default]
    Automatic,
    /// The user's own `ssh`.
    Yes,
    /// The one that is built in.
    No,
}

/// What happens when a host's key is not known. A key that is known and differs is refused by the first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostKeys {
    /// It is refused.
    #[default]
    Reject,
    /// It is taken and remembered.
    AutoAdd,
    /// Any key is taken, with a warning.
    Warning,
}

/// A password. It is not shown by `Debug`, and its memory is overwritten when the last copy goes.
#[derive(Clone)]
pub struct Secret(Arc<Bytes>);

struct Bytes(Vec<u8>);

impl Secret {
    /// Of these bytes, without a line end.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(Arc::new(Bytes(bytes.into())))
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0.0
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without this the compiler may leave out what nobody reads.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Everything that is said about a host.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A host name, a name of the user's ssh_config, or an IP address without brackets.
    pub host: String,
    /// The TCP port; else that of ssh_config, else 22.
    pub port: Option<u16>,
    /// The user over there; else that of ssh_config, else the name of the user here.
    pub user: Option<String>,
    /// Which implementation is used.
    pub native: Native,
    /// What happens when the host's key is not known; else what ssh_config says, else [`HostKeys::Reject`].
    pub host_keys: Option<HostKeys>,
    /// The private key to authenticate with, before all others.
    pub identity: Option<PathBuf>,
    /// The password to authenticate with.
    pub password: Option<Secret>,
    /// How long connecting may take at most, until the connection is there (TCP and the exchange of keys).
    pub timeout: Option<Duration>,
    /// A connection over which nothing came for so long is asked whether it lives, and given up when it does not
    /// answer three times. Else what ssh_config says, else [`KEEP_ALIVE`]. Zero: never.
    pub keep_alive: Option<Duration>,
    /// A command of this machine whose standard streams are the connection, instead of TCP: `ProxyCommand` of ssh_config(5).
    pub proxy: Option<String>,
}

/// How long a silent connection is believed to live: see [`Settings::keep_alive`].
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
