//! The options of daemons.

use crate::address;
use crate::connect::ConnectError;
use crate::options::{Known, Options, Value, known};
use thither_remote::daemon::{At, Daemon, PORT};

/// What a daemon has besides what every place has.
pub(crate) const OF_DAEMON: &[Known] = &[
    known("timeout", Value::Some("SECONDS")),
    known("keep-alive", Value::Some("SECONDS")),
    known("keys", Value::Some("DIR")),
];

impl Options<'_> {
    pub(crate) fn daemon(self, at: &address::Daemon) -> Result<Daemon, ConnectError> {
        let mut daemon = Daemon::new(match at {
            address::Daemon::Default => At::Default,
            address::Daemon::Socket(path) => At::Unix(path.clone()),
            address::Daemon::Host { host, port } => {
                At::Tcp { host: host.clone(), port: port.unwrap_or(PORT) }
            }
        });
        for (key, value) in self.iter() {
            daemon = match key {
                "timeout" => daemon.timeout(self.seconds(key, value)?),
                "keep-alive" => daemon.keep_alive(self.seconds(key, value)?),
                "keys" => daemon.keys(value),
                _ => daemon,
            };
        }
        Ok(daemon)
    }
}
