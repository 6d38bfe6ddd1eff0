//! From a host to an open pipe: connect, negotiate, log on, encrypt, open.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use smb2::client::connection::{Connection, Frame};
use smb2::client::session::Session;
use smb2::client::tree::Tree;
use smb2::msg::create::{
    CreateDisposition, CreateRequest, CreateResponse, ImpersonationLevel, ShareAccess,
};
use smb2::pack::{ReadCursor, Unpack};
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, Dialect, FileId, OplockLevel, TreeId};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::sleep;

use super::Encrypt;
use super::failure::Fault;
use super::transport::{self, Shared};
use crate::ssh::Secret;

/// When an idle connection is asked whether its other end is still there, and how often, and how often it may say nothing: tcp(7).
const IDLE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;
/// How long a pipe is left alone whose instances are all in use.
const AGAIN: Duration = Duration::from_millis(100);
/// The share that pipes are in: MS-SMB2 2.2.9.
const PIPES: &str = "IPC$";

/// Everything that a connection is made of, but the stream.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) domain: String,
    pub(super) password: Option<Secret>,
    pub(super) pipe: String,
    pub(super) encrypt: Encrypt,
}

/// An open pipe, on a connection of its own, which ends with it.
pub(super) struct Pipe {
    pub(super) connection: Connection,
    pub(super) tree: TreeId,
    pub(super) file: FileId,
    /// The longest write, in bytes.
    pub(super) longest: u32,
    pub(super) shared: Arc<Shared>,
}

/// A share, on a connection of its own, which ends with it.
pub(super) struct Share {
    pub(super) connection: Connection,
    pub(super) tree: TreeId,
    /// The longest write, in bytes.
    pub(super) longest: u32,
    pub(super) shared: Arc<Shared>,
}

/// Opens the pipe, over this stream or else by TCP.
pub(super) async fn open(target: &Target, stream: Option<OwnedFd>) -> Result<Pipe, Fault> {
    let opening = |fault: Fault| fault.of_opening(&target.pipe, &target.user);
    let Share { connection, tree, longest, shared } =
        share(target, stream, PIPES).await.map_err(opening)?;
    loop {
        match create(&connection, tree, &target.pipe).await.map_err(opening) {
            Ok(file) => return Ok(Pipe { connection, tree, file, longest, shared }),
            // Its server may make another instance in a moment.
            Err(Fault::Busy { .. }) => sleep(AGAIN).await,
            Err(fault) => return Err(shared.fault().unwrap_or(fault)),
        }
    }
}

/// Connects to a share of this name, over this stream or else by TCP.
pub(super) async fn share(
    target: &Target,
    stream: Option<OwnedFd>,
    name: &str,
) -> Result<Share, Fault> {
    let (connection, shared) = match stream {
        Some(stream) => {
            let stream = StdUnixStream::from(stream);
            stream.set_nonblocking(true)?;
            transport::connection(UnixStream::from_std(stream)?, &target.host)
        }
        None => transport::connection(dial(&target.host, target.port).await?, &target.host),
    };
    let opened = enter(target, connection, &shared, name).await;
    // Who reads knows better than who waits why it ended.
    opened.map_err(|fault| shared.fault().unwrap_or(fault))
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let no_host = |source| Fault::NoHost { host: host.into(), source };
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(no_host)?.collect();
    let mut last = Fault::NoHost { host: host.into(), source: io::ErrorKind::NotFound.into() };
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let prepared = keep_alive(&stream);
                return prepared.map(|()| stream).map_err(|error| Fault::Here(error.into()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                last = Fault::PortClosed { port };
            }
            Err(source) => last = Fault::Unreachable { port, source },
        }
    }
    Err(last)
}

fn keep_alive(socket: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, IDLE)?;
    sockopt::set_tcp_keepintvl(socket, IDLE)?;
    sockopt::set_tcp_keepcnt(socket, PROBES)
}

async fn enter(
    target: &Target,
    mut connection: Connection,
    shared: &Arc<Shared>,
    name: &str,
) -> Result<Share, Fault> {
    // A read waits as long as nobody says anything. Our own time limit holds until then.
    connection.set_response_timeout(None);
    connection.set_compression_requested(false);
    connection.negotiate().await.map_err(|error| Fault::from(error).of_negotiation())?;
    let params = connection.params().filter(|params| params.dialect == Dialect::Smb3_1_1);
    let params = params.ok_or(Fault::NotSmb3)?;
    if params.cipher.is_none() && target.encrypt == Encrypt::Require {
        return Err(Fault::NoEncryption);
    }
    // The keys are made of what was said, not of what the crate would have said.
    connection.with_preauth_hasher_mut(|hasher| *hasher = shared.hash());

    let session = log_on(target, &mut connection).await?;
    if target.encrypt != Encrypt::Off {
        encrypt(&mut connection, &session, target.encrypt)?;
    }
    if connection.should_encrypt() {
        shared.seal();
    }
    let tree = Tree::connect(&mut connection, name).await?;
    if tree.encrypt_data && !connection.should_encrypt() {
        encrypt(&mut connection, &session, Encrypt::Require)?;
        shared.seal();
    }
    let (longest, tree, shared) = (params.max_write_size, tree.tree_id, Arc::clone(shared));
    Ok(Share { connection, tree, longest, shared })
}

async fn log_on(target: &Target, connection: &mut Connection) -> Result<Session, Fault> {
    let password = target.password.as_ref().ok_or(Fault::NoPassword)?;
    let password = std::str::from_utf8(password.expose()).map_err(|_| Fault::NotText)?;
    let session = Session::setup(connection, &target.user, password, &target.domain).await;
    let session = session.map_err(|error| Fault::from(error).of_logon(&target.user))?;
    match session.should_sign {
        true => Ok(session),
        false => Err(Fault::Guest { user: target.user.clone() }),
    }
}

/// Encrypts from here on, if that can be.
fn encrypt(connection: &mut Connection, session: &Session, wish: Encrypt) -> Result<(), Fault> {
    if connection.should_encrypt() {
        return Ok(());
    }
    let cipher = connection.params().and_then(|params| params.cipher);
    match (&session.encryption_key, &session.decryption_key, cipher) {
        (Some(ours), Some(theirs), Some(cipher)) => {
            connection.activate_encryption(ours.clone(), theirs.clone(), cipher);
            Ok(())
        }
        _ if wish == Encrypt::Require => Err(Fault::NoEncryption),
        _ => Ok(()),
    }
}

async fn create(connection: &Connection, tree: TreeId, pipe: &str) -> Result<FileId, Fault> {
    let request = CreateRequest {
        requested_oplock_level: OplockLevel::None,
        // The service runs what we ask for as us.
        impersonation_level: ImpersonationLevel::Impersonation,
        desired_access: FileAccessMask::new(
            FileAccessMask::FILE_READ_DATA
                | FileAccessMask::FILE_WRITE_DATA
                | FileAccessMask::READ_CONTROL
                | FileAccessMask::SYNCHRONIZE,
        ),
        file_attributes: 0,
        share_access: ShareAccess(ShareAccess::FILE_SHARE_READ | ShareAccess::FILE_SHARE_WRITE),
        create_disposition: CreateDisposition::FileOpen,
        create_options: 0,
        name: pipe.to_owned(),
        create_contexts: Vec::new(),
    };
    let frame = connection.execute(Command::Create, &request, Some(tree)).await?;
    let body = succeeded(&frame)?;
    Ok(CreateResponse::unpack(&mut ReadCursor::new(body))?.file_id)
}

/// The body of an answer that is no refusal.
pub(super) fn succeeded(frame: &Frame) -> Result<&[u8], Fault> {
    match frame.header.status {
        NtStatus::SUCCESS => Ok(&frame.body),
        status => Err(Fault::Refused { status, command: frame.header.command }),
    }
}
