//! One connection to a server.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, io};

use russh::client::{Config, Handle, Msg, connect_stream};
use russh::keys::Algorithm;
use russh::{Channel, ChannelMsg, Preferred, Pty, SshId, compression};
use rustix::net::{AddressFamily, Shutdown, shutdown, sockopt};
use thither_place::WindowSize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::auth::{Credentials, authenticate};
use super::failure::Fault;
use super::handler::{Client, LastWords};
use super::known::KnownHosts;
use crate::ssh::HostKeys;

/// How long connecting may take, and getting in, where the user has not said: sshd's LoginGraceTime, after which it
/// would give up.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How many keep-alive messages without an answer are the end: ssh's ServerAliveCountMax.
const UNANSWERED: usize = 3;

/// How many messages of at most 32 KiB a channel holds before the connection waits for it.
const CHANNEL_BUFFER: usize = 16;

/// Everything that a connection is made of, but the stream.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Credentials,
    pub(super) policy: HostKeys,
    /// Where hosts are known.
    pub(super) known_hosts: Vec<PathBuf>,
    /// Where a new one is remembered.
    pub(super) remember_in: Option<PathBuf>,
    pub(super) timeout: Duration,
    /// `None`: never asked.
    pub(super) keep_alive: Option<Duration>,
}

/// A connection that is authenticated.
pub(super) struct Connection {
    handle: Handle<Client>,
    /// Whether somebody uses it.
    busy: AtomicBool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("closed", &self.handle.is_closed())
            .finish_non_exhaustive()
    }
}

/// What a channel is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// A line for the login shell, or that shell itself.
    Command { line: Option<Vec<u8>>, terminal: Option<(String, WindowSize)> },
    /// A subsystem, by its name.
    Subsystem(String),
    /// A TCP connection from over there.
    Tcp { host: String, port: u16 },
    /// A Unix socket over there.
    Unix { path: String },
}

/// A stream that ssh can run over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connection {
    /// Connects over this stream, else by TCP, and authenticates.
    pub(super) async fn open(
        target: &Target,
        stream: Option<OwnedFd>,
    ) -> Result<Connection, Fault> {
        let silent = |limit| move |_| Fault::Silent { limit };
        let last_words = LastWords::default();
        let connecting = connect(target, stream, last_words.clone());
        let mut handle =
            timeout(target.timeout, connecting).await.map_err(silent(target.timeout))??;
        let patience = PATIENCE.max(target.timeout);
        timeout(patience, authenticate(&mut handle, &target.credentials, &last_words))
            .await
            .map_err(silent(patience))??;
        tracing::debug!(host = %target.host, user = %target.credentials.user, "connected");
        Ok(Connection { handle, busy: AtomicBool::new(true) })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Takes it, if it is idle.
    pub(super) fn take(&self) -> bool {
        !self.is_closed() && !self.busy.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
    }

    pub(super) fn give_back(&self) {
        self.busy.store(false, Ordering::Release);
    }

    /// Opens a channel, and returns it once the server has agreed to all that was asked.
    pub(super) async fn channel(&self, purpose: &Purpose) -> Result<Channel<Msg>, Fault> {
        let opened = match purpose {
            Purpose::Command { .. } | Purpose::Subsystem(_) => {
                self.handle.channel_open_session().await
            }
            Purpose::Tcp { host, port } => {
                let here = IpAddr::from([127, 0, 0, 1]).to_string();
                self.handle.channel_open_direct_tcpip(host, u32::from(*port), here, 0).await
            }
            Purpose::Unix { path } => self.handle.channel_open_direct_streamlocal(path).await,
        };
        let mut channel = opened.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(why) => {
                Fault::Refused { what: format!("{purpose}: {}", reason(&why)) }
            }
            other => other.into(),
        })?;
        let questions = ask(&channel, purpose).await?;
        for _ in 0..questions {
            if let Err(fault) = agreed(&mut channel, purpose).await {
                let _ = channel.close().await;
                return Err(fault);
            }
        }
        Ok(channel)
    }
}

fn reason(failure: &russh::ChannelOpenFailure) -> &'static str {
    use russh::ChannelOpenFailure as Why;
    match failure {
        Why::ConnectFailed => "nobody answers there",
        Why::UnknownChannelType => "it does not know how",
        Why::ResourceShortage => "it has no resources left",
        _ => "it is forbidden",
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use thither_place::error::quoted;
        match self {
            Purpose::Command { .. } => f.write_str("to run a command"),
            Purpose::Subsystem(name) => write!(f, "the subsystem {}", quoted(name)),
            Purpose::Tcp { host, port } => {
                write!(f, "a connection to {} port {port}", quoted(host))
            }
            Purpose::Unix { path } => write!(f, "a connection to {}", quoted(path)),
        }
    }
}

/// Sends all requests at once, and says how many answers there will be.
async fn ask(channel: &Channel<Msg>, purpose: &Purpose) -> Result<usize, Fault> {
    match purpose {
        Purpose::Command { line, terminal } => {
            if let Some((term, size)) = terminal {
                // What ssh says of a terminal that it cannot ask: UTF-8 erased by characters, RFC 8160.
                let modes = [(Pty::IUTF8, 1)];
                let (cols, rows) = (u32::from(size.cols), u32::from(size.rows));
                channel.request_pty(true, term, cols, rows, 0, 0, &modes).await?;
            }
            match line {
                Some(line) => channel.exec(true, line.clone()).await?,
                None => channel.request_shell(true).await?,
            }
            Ok(1 + usize::from(terminal.is_some()))
        }
        Purpose::Subsystem(name) => {
            channel.request_subsystem(true, name.as_str()).await?;
            Ok(1)
        }
        Purpose::Tcp { .. } | Purpose::Unix { .. } => Ok(0),
    }
}

/// Waits for one answer. Data cannot come before: nothing runs yet.
async fn agreed(channel: &mut Channel<Msg>, purpose: &Purpose) -> Result<(), Fault> {
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure | ChannelMsg::Close) => {
                return Err(Fault::Refused { what: purpose.to_string() });
            }
            Some(_) => {}
            None => return Err(Fault::Lost),
        }
    }
}

async fn connect(
    target: &Target,
    stream: Option<OwnedFd>,
    last_words: LastWords,
) -> Result<Handle<Client>, Fault> {
    let (stream, hang_up): (Box<dyn Stream>, HangUp) = match stream {
        Some(fd) => {
            let hang_up = HangUp::of(&fd)?;
            (joined(fd)?, hang_up)
        }
        None => {
            let stream = tcp(&target.host, target.port).await?;
            let hang_up = HangUp::of(&stream)?;
            (Box::new(stream), hang_up)
        }
    };
    let known = KnownHosts::read(&target.known_hosts, &target.host, target.port);
    let config = config(target, &known);
    let handler = Client {
        host: target.host.clone(),
        port: target.port,
        known,
        policy: target.policy,
        remember_in: target.remember_in.clone(),
        last_words: last_words.clone(),
    };
    let connected =
        connect_stream(Arc::new(config), stream, handler).await.map_err(
            |fault| match last_words
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take()
            {
                Some(said) if fault.is_loss() => Fault::Ended(said),
                _ => fault.before_the_keys(),
            },
        )?;
    hang_up.no_more();
    Ok(connected)
}

/// Ends a stream when it is dropped. What russh starts for a connection goes on without whoever wanted it, until the
/// keys are exchanged, which a server may never do.
struct HangUp(Option<OwnedFd>);

impl HangUp {
    fn of(stream: impl AsFd) -> io::Result<HangUp> {
        Ok(HangUp(Some(stream.as_fd().try_clone_to_owned()?)))
    }

    fn no_more(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            let _ = shutdown(stream, Shutdown::Both);
        }
    }
}

fn config(target: &Target, known: &KnownHosts) -> Config {
    // Without SHA-1, as ssh has it since 8.8.
    let sha1 = |algorithm: &Algorithm| *algorithm == Algorithm::Rsa { hash: None };
    let keys: Vec<Algorithm> =
        Preferred::DEFAULT.key.iter().filter(|algorithm| !sha1(algorithm)).cloned().collect();
    let preferred = Preferred {
        key: known.prefer(&keys).into(),
        compression: vec![compression::NONE].into(),
        ..Preferred::DEFAULT
    };
    Config {
        client_id: SshId::Standard(concat!("SSH-2.0-thither_", env!("CARGO_PKG_VERSION")).into()),
        channel_buffer_size: CHANNEL_BUFFER,
        preferred,
        keepalive_interval: target.keep_alive,
        keepalive_max: UNANSWERED,
        ..Config::default()
    }
}

/// A descriptor of a connected stream socket.
fn joined(fd: OwnedFd) -> io::Result<Box<dyn Stream>> {
    let family = sockopt::socket_domain(&fd)?;
    if family == AddressFamily::UNIX {
        let stream = std::os::unix::net::UnixStream::from(fd);
        stream.set_nonblocking(true)?;
        return Ok(Box::new(UnixStream::from_std(stream)?));
    }
    let stream = std::net::TcpStream::from(fd);
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(Box::new(TcpStream::from_std(stream)?))
}

/// Tries each address of the name in turn.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let no_host = |source| Fault::NoHost { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => lookup_host((host, port)).await.map_err(no_host)?.collect(),
    };
    let mut fault = no_host(io::ErrorKind::NotFound.into());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fault = Fault::PortClosed { port };
            }
            Err(source) => fault = Fault::Unreachable { port, source },
        }
    }
    Err(fault)
}
