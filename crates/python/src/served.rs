//! Interpreters that serve themselves, by `thither_agent.serve(address, token)`.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::{Error, Python, Result, Start};

impl Start {
    /// An interpreter that serves itself at a Unix socket: see [`AGENT`](crate::AGENT).
    ///
    /// # Errors
    /// When the socket cannot be reached, or does not answer: a wrong token is answered by silence.
    pub fn served_unix(self, path: impl AsRef<Path>, token: &[u8]) -> Result<Python> {
        let path = path.as_ref();
        let socket = UnixStream::connect(path);
        let socket = socket.map_err(|error| Error::io(format!("connect to {path:?}"), error))?;
        self.served(socket.into(), token)
    }

    /// An interpreter that serves itself at a port of this machine.
    ///
    /// # Errors
    /// As [`served_unix`](Start::served_unix); and when the address is not loopback: the token would be there for all to
    /// read on its way.
    pub fn served_tcp(self, address: impl ToSocketAddrs, token: &[u8]) -> Result<Python> {
        let failed = |error| Error::io("connect to a port of this machine", error);
        let addresses: Vec<_> = address.to_socket_addrs().map_err(failed)?.collect();
        if let Some(other) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(Error::Start {
                why: format!("{} is not an address of this machine alone", other.ip()),
                hint: Some(
                    "reach the other machine by a place of it, and its socket from there".into(),
                ),
            });
        }
        let socket = TcpStream::connect(&addresses[..]).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        self.served(OwnedFd::from(socket), token)
    }
}
