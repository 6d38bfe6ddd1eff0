//! What a named pipe over SMB can do without our wire, to be measured against: an encrypted connection by smb2 itself, and raw
//! bytes to a peer that sends them back.
//!
//! `pipe_floor PORT USER PASSWORD-FILE PIPE PEER KIB` connects to 127.0.0.1, and does a round for each line of its input:
//! - `trip N`: 16 bytes there and back, N times; how long each took.
//! - `down BYTES`: so many bytes from there.
//! - `echo BYTES`: so many bytes there and back, both ways at once.
//!
//! Each answers with a line of JSON, `{"values": [NANOSECONDS...]}`. `KIB` is what is read and written at once. The first byte on a
//! pipe says what the peer shall do: that of `PEER` sends all back (`e` by itself, `c` by cat(1)), `d` and a u64be sends so many bytes.

use std::error::Error;
use std::future::Future;
use std::io::{self, BufRead, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use smb2::client::connection::Connection;
use smb2::client::session::Session;
use smb2::client::tree::Tree;
use smb2::crypto::kdf::PreauthHasher;
use smb2::msg::close::CloseRequest;
use smb2::msg::create::{
    CreateDisposition, CreateRequest, CreateResponse, ImpersonationLevel, ShareAccess,
};
use smb2::msg::read::{ReadRequest, ReadResponse};
use smb2::msg::write::{WriteRequest, WriteResponse};
use smb2::pack::{ReadCursor, Unpack};
use smb2::transport::{TransportReceive, TransportSend};
use smb2::types::flags::{Capabilities, FileAccessMask};
use smb2::types::status::NtStatus;
use smb2::types::{Command, CreditCharge, FileId, OplockLevel, TreeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Mutex as AsyncMutex;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Promise<'a, T> = Pin<Box<dyn Future<Output = smb2::Result<T>> + Send + 'a>>;

/// What a small message has, in bytes.
const SMALL: usize = 16;
/// What one credit pays for, MS-SMB2 3.1.5.2.
const CREDIT: usize = 64 << 10;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, user, password, pipe, peer, kib] = &args[..] else {
        return Err("pipe_floor PORT USER PASSWORD-FILE PIPE PEER KIB".into());
    };
    let password = std::fs::read_to_string(password)?;
    let host = Host {
        port: port.parse()?,
        user: user.clone(),
        password: password.trim_end().to_owned(),
        pipe: pipe.clone(),
        peer: peer.clone(),
        chunk: kib.parse::<usize>()? << 10,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = io::stdout().lock();
    writeln!(out, r#"{{"version": "smb2, raw"}}"#)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        match runtime.block_on(host.round(&line)) {
            Ok(values) => writeln!(out, r#"{{"values": {values:?}}}"#)?,
            Err(error) => writeln!(out, r#"{{"error": {:?}}}"#, error.to_string())?,
        }
    }
    Ok(())
}

struct Host {
    port: u16,
    user: String,
    password: String,
    pipe: String,
    /// Who sends things back.
    peer: String,
    chunk: usize,
}

impl Host {
    async fn round(&self, line: &str) -> Result<Vec<u64>> {
        let (name, number) = line.split_once(' ').ok_or("which round, and how many?")?;
        let number: usize = number.parse()?;
        let pipe = self.open().await?;
        let values = match name {
            "trip" => pipe.trips(&self.peer, number).await?,
            "down" => vec![pipe.down(number, self.chunk).await?],
            "echo" => vec![pipe.echo(&self.peer, number, self.chunk).await?],
            _ => return Err(format!("no such round: {name}").into()),
        };
        pipe.close().await?;
        Ok(values)
    }

    async fn open(&self) -> Result<Pipe> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = tokio::io::split(stream);
        let talk = Arc::<Talk>::default();
        let sender = Sender(AsyncMutex::new(writer), Arc::clone(&talk));
        let receiver = Receiver(AsyncMutex::new(reader), Arc::clone(&talk));
        let mut connection =
            Connection::from_transport(Box::new(sender), Box::new(receiver), "127.0.0.1");
        connection.set_response_timeout(None);
        connection.set_compression_requested(false);
        connection.negotiate().await?;
        connection.with_preauth_hasher_mut(|hasher| *hasher = talk.hash());
        let session = Session::setup(&mut connection, &self.user, &self.password, "").await?;
        let cipher = connection.params().and_then(|params| params.cipher).ok_or("no cipher")?;
        let ours = session.encryption_key.clone().ok_or("no key")?;
        let theirs = session.decryption_key.clone().ok_or("no key")?;
        connection.activate_encryption(ours, theirs, cipher);
        let tree = Tree::connect(&mut connection, "IPC$").await?.tree_id;
        let access = FileAccessMask::FILE_READ_DATA
            | FileAccessMask::FILE_WRITE_DATA
            | FileAccessMask::READ_CONTROL
            | FileAccessMask::SYNCHRONIZE;
        let request = CreateRequest {
            requested_oplock_level: OplockLevel::None,
            impersonation_level: ImpersonationLevel::Impersonation,
            desired_access: FileAccessMask::new(access),
            file_attributes: 0,
            share_access: ShareAccess(ShareAccess::FILE_SHARE_READ | ShareAccess::FILE_SHARE_WRITE),
            create_disposition: CreateDisposition::FileOpen,
            create_options: 0,
            name: self.pipe.clone(),
            create_contexts: Vec::new(),
        };
        let frame = connection.execute(Command::Create, &request, Some(tree)).await?;
        let file = CreateResponse::unpack(&mut ReadCursor::new(&frame.body))?.file_id;
        Ok(Pipe { connection, tree, file })
    }
}

struct Pipe {
    connection: Connection,
    tree: TreeId,
    file: FileId,
}

impl Pipe {
    async fn trips(&self, peer: &str, count: usize) -> Result<Vec<u64>> {
        self.write_all(peer.as_bytes()).await?;
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            self.write_all(&[7; SMALL]).await?;
            self.read_exact(SMALL, CREDIT).await?;
            took.push(nanoseconds(start));
        }
        Ok(took)
    }

    async fn down(&self, bytes: usize, chunk: usize) -> Result<u64> {
        let start = Instant::now();
        self.write_all(&[&b"d"[..], &(bytes as u64).to_be_bytes()].concat()).await?;
        self.read_exact(bytes, chunk).await?;
        Ok(nanoseconds(start))
    }

    async fn echo(&self, peer: &str, bytes: usize, chunk: usize) -> Result<u64> {
        self.write_all(peer.as_bytes()).await?;
        let start = Instant::now();
        let data = vec![7; chunk];
        let write = async {
            let mut left = bytes;
            while left > 0 {
                let n = left.min(chunk);
                self.write_all(&data[..n]).await?;
                left -= n;
            }
            Ok(())
        };
        tokio::try_join!(write, self.read_exact(bytes, chunk))?;
        Ok(nanoseconds(start))
    }

    async fn read_exact(&self, bytes: usize, chunk: usize) -> Result<()> {
        let mut left = bytes;
        while left > 0 {
            let n = self.read(chunk).await?;
            left = left.checked_sub(n).filter(|_| n > 0).ok_or("too many bytes, or none")?;
        }
        Ok(())
    }

    async fn read(&self, chunk: usize) -> Result<usize> {
        let request = ReadRequest {
            padding: 0x50,
            flags: 0,
            length: u32::try_from(chunk)?,
            offset: 0,
            file_id: self.file,
            minimum_count: 0,
            channel: 0,
            remaining_bytes: 0,
            read_channel_info: Vec::new(),
        };
        let body = self.execute(Command::Read, &request, chunk).await?;
        Ok(ReadResponse::unpack(&mut ReadCursor::new(&body))?.data.len())
    }

    async fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let request = WriteRequest {
                data_offset: 64 + 48,
                offset: 0,
                file_id: self.file,
                channel: 0,
                remaining_bytes: 0,
                write_channel_info_offset: 0,
                write_channel_info_length: 0,
                flags: 0,
                data: bytes.to_vec(),
            };
            let body = self.execute(Command::Write, &request, bytes.len()).await?;
            let n = WriteResponse::unpack(&mut ReadCursor::new(&body))?.count as usize;
            bytes = bytes.get(n..).filter(|_| n > 0).ok_or("it wrote too much, or nothing")?;
        }
        Ok(())
    }

    async fn execute(
        &self,
        command: Command,
        request: &dyn smb2::pack::Pack,
        bytes: usize,
    ) -> Result<Vec<u8>> {
        let charge = CreditCharge(u16::try_from(bytes.div_ceil(CREDIT))?);
        let tree = Some(self.tree);
        let frame = self.connection.execute_with_credits(command, request, tree, charge).await?;
        match frame.header.status {
            NtStatus::SUCCESS | NtStatus::BUFFER_OVERFLOW => Ok(frame.body),
            status => Err(format!("{command:?}: {status}").into()),
        }
    }

    async fn close(self) -> Result<()> {
        let request = CloseRequest { flags: 0, file_id: self.file };
        self.connection.execute(Command::Close, &request, Some(self.tree)).await?;
        Ok(())
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The negotiation as it went over the wire.
#[derive(Default)]
struct Talk(Mutex<Vec<Vec<u8>>>);

impl Talk {
    /// Remembers the first two messages.
    fn note(&self, message: &[u8]) {
        let mut talk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if talk.len() < 2 {
            talk.push(message.to_vec());
        }
    }

    fn is_new(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn hash(&self) -> PreauthHasher {
        let mut hasher = PreauthHasher::new();
        let talk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        talk.iter().for_each(|message| hasher.update(message));
        hasher
    }
}

struct Sender(AsyncMutex<WriteHalf<TcpStream>>, Arc<Talk>);

impl TransportSend for Sender {
    fn send<'a, 'b, 'c>(&'a self, message: &'b [u8]) -> Promise<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let length = u32::try_from(message.len())
                .map_err(|_| smb2::Error::invalid_data("a message is too long"))?;
            let mut frame = [&length.to_be_bytes()[..], message].concat();
            if self.1.is_new() {
                // smb2 0.39 forgets to say that it can encrypt: the capabilities are 8 bytes into the body, MS-SMB2 2.2.3.
                let at = 4 + 64 + 8;
                let encryption = Capabilities::ENCRYPTION.to_le_bytes();
                for (byte, bits) in frame[at..at + 4].iter_mut().zip(encryption) {
                    *byte |= bits;
                }
                self.1.note(&frame[4..]);
            }
            let mut writer = self.0.lock().await;
            Ok(writer.write_all(&frame).await?)
        })
    }
}

struct Receiver(AsyncMutex<ReadHalf<TcpStream>>, Arc<Talk>);

impl TransportReceive for Receiver {
    fn receive<'a, 'b>(&'a self) -> Promise<'b, Vec<u8>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let mut reader = self.0.lock().await;
            let mut head = [0; 4];
            reader.read_exact(&mut head).await.map_err(|_| smb2::Error::Disconnected)?;
            let mut message = vec![0; u32::from_be_bytes(head) as usize];
            reader.read_exact(&mut message).await.map_err(|_| smb2::Error::Disconnected)?;
            self.1.note(&message);
            Ok(message)
        })
    }
}
