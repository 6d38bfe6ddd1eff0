#![expect(unsafe_code, reason = "rustix takes SO_PEERCRED never to have the process id 0")]
//! Whose the other end of a Unix socket is.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::process::Uid;

/// Who has connected, or who listens, by the kernel's word: as it was at connect(2) or listen(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user, as our user namespace has it.
    pub uid: Uid,
    /// The process, or 0 for one that our pid namespace does not have.
    pub pid: u32,
}

/// Asks the kernel: `SO_PEERCRED`, unix(7).
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_of(socket: impl AsFd) -> io::Result<Peer> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are valid for as long as the call, the first for as many bytes as the second says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    match result {
        // What nobody has connected has the user -1.
        0 if peer.uid != u32::MAX => {
            Ok(Peer { uid: Uid::from_raw(peer.uid), pid: peer.pid.unsigned_abs() })
        }
        0 => Err(io::ErrorKind::NotConnected.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;

    use rustix::process::geteuid;

    #[test]
    fn ourselves() {
        let (one, _other) = UnixStream::pair().unwrap();
        let expected = Peer { uid: geteuid(), pid: std::process::id() };
        assert_eq!(peer_of(&one).unwrap(), expected);
    }

    #[test]
    fn nobody() {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            None,
        );
        assert_eq!(peer_of(socket.unwrap()).unwrap_err().kind(), io::ErrorKind::NotConnected);
    }

    /// Runs itself again, in a pid namespace that this one is not in.
    #[test]
    fn one_outside_of_our_pid_namespace() {
        const SOCKET: &str = "THITHER_TEST_PEER";
        if let Some(path) = env::var_os(SOCKET) {
            let stream = UnixStream::connect(path).unwrap();
            assert_eq!(peer_of(&stream).unwrap(), Peer { uid: geteuid(), pid: 0 });
            return;
        }
        let inside = |program: &std::ffi::OsStr| {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--pid", "--fork"]).arg(program);
            command
        };
        if !inside("true".as_ref()).output().is_ok_and(|output| output.status.success()) {
            testkit::skip!("no namespaces here");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut again = inside(env::current_exe().unwrap().as_os_str());
        again.args(["--exact", "peer::tests::one_outside_of_our_pid_namespace"]);
        let output = again.env(SOCKET, &path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}
