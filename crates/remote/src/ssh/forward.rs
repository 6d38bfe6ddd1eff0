//! Streams to sockets over there.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thither_place::Endpoint;

use super::master::{Master, state_folder};
use super::mux::{Mux, News};

/// A master answers such requests by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream over a master: it listens for us on a private socket for a moment. A connection lives on when it does so no more, so
/// there is nothing to put back. That nobody listens over there is seen by the stream's end.
pub(super) fn stream(master: &Master, mut mux: Mux, to: &Endpoint) -> io::Result<OwnedFd> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = state_folder()?.path.join(format!("fwd-{name}"));
    let listening = Listening { master, path: &path, to };
    ask(&mut mux, &path, to, true)?;
    let stream = UnixStream::connect(&path);
    drop(listening);
    Ok(stream?.into())
}

fn ask(mux: &mut Mux, path: &Path, to: &Endpoint, on: bool) -> io::Result<()> {
    mux.forward(path, to, on)?;
    match mux.wait(Some(PATIENCE))? {
        News::Done => Ok(()),
        News::Refused(why) => Err(io::Error::other(why)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

struct Listening<'a> {
    master: &'a Master,
    path: &'a Path,
    to: &'a Endpoint,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        // A master that is gone listens no more.
        let closed = self.master.running().and_then(|mux| match mux {
            Some(mut mux) => ask(&mut mux, self.path, self.to, false),
            None => Ok(()),
        });
        if let Err(error) = closed {
            tracing::debug!(%error, "the control master goes on listening");
        }
        let _ = std::fs::remove_file(self.path);
    }
}
