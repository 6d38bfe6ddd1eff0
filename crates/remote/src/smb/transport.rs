//! SMB's messages on a stream, MS-SMB2 2.1: a zero byte, a length of three bytes, the message.
//!
//! What goes through is looked at in three ways:
//! - The one negotiation that is ever sent is ours (see [`strict`]). The one that smb2 0.39 makes offers SMB 2 as well, and forgets
//!   to say that it can encrypt, so that Samba takes it for a client that cannot.
//! - Only what an SMB 3 server may say comes in, and only as long as our own questions allow.
//! - Once all is to be encrypted, nothing else is heard.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smb2::client::connection::Connection;
use smb2::crypto::kdf::PreauthHasher;
use smb2::msg::header::Header;
use smb2::msg::negotiate::{
    CIPHER_AES_128_CCM, CIPHER_AES_128_GCM, NegotiateContext, NegotiateRequest, SIGNING_AES_CMAC,
    SIGNING_AES_GMAC,
};
use smb2::pack::{Pack, ReadCursor, Unpack, WriteCursor};
use smb2::transport::{TransportReceive, TransportSend};
use smb2::types::flags::{Capabilities, SecurityMode};
use smb2::types::{Command, Dialect};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex as AsyncMutex;

use super::failure::Fault;

/// The longest message that is read, in bytes: we ask for [`CHUNK`](super::carry::CHUNK) at most, and other answers are short.
const LONGEST: usize = 256 << 10;
/// What a message of SMB 2 and 3 begins with, and an encrypted one: MS-SMB2 2.2.1 and 2.2.41.
const CLEAR: &[u8] = b"\xfeSMB";
const SEALED: &[u8] = b"\xfdSMB";

/// A stream that SMB can run over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

type Result<T> = smb2::Result<T>;
type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What both directions know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The negotiation as it was sent, and its answer: what the keys are made of.
    talk: Mutex<[Option<Vec<u8>>; 2]>,
    /// Whether all that comes has to be encrypted.
    sealed: AtomicBool,
    /// What was wrong with what came.
    fault: Mutex<Option<Fault>>,
}

impl Shared {
    /// From here on nothing that is not encrypted is heard.
    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// What was wrong with what came, if that ended the connection.
    pub(super) fn fault(&self) -> Option<Fault> {
        lock(&self.fault).take()
    }

    /// The hash of the negotiation as both sides have seen it: MS-SMB2 3.1.4.4.1.
    pub(super) fn hash(&self) -> PreauthHasher {
        let mut hasher = PreauthHasher::new();
        lock(&self.talk).iter().flatten().for_each(|message| hasher.update(message));
        hasher
    }

    fn admit(&self, message: &[u8]) -> std::result::Result<(), Fault> {
        match message.get(..4) {
            Some(SEALED) => Ok(()),
            Some(CLEAR) if !self.sealed.load(Ordering::Acquire) => Ok(()),
            Some(CLEAR) => Err(Fault::Plain),
            _ => Err(Fault::NotSmb),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // It holds no invariant that a panic could break.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection over this stream to what calls itself `host`.
pub(super) fn connection(stream: impl Stream, host: &str) -> (Connection, Arc<Shared>) {
    let shared = Arc::<Shared>::default();
    let (reader, writer) = tokio::io::split(stream);
    let sender = Sender { writer: AsyncMutex::new(writer), shared: Arc::clone(&shared) };
    let receiver = Receiver { reader: AsyncMutex::new(reader), shared: Arc::clone(&shared) };
    (Connection::from_transport(Box::new(sender), Box::new(receiver), host), shared)
}

struct Sender<S> {
    writer: AsyncMutex<WriteHalf<S>>,
    shared: Arc<Shared>,
}

impl<S: Stream> Sender<S> {
    async fn write(&self, message: &[u8]) -> Result<()> {
        let rewritten = strict(message)?;
        let message = rewritten.as_deref().unwrap_or(message);
        let length = u32::try_from(message.len()).ok().filter(|length| *length < 1 << 24);
        let length = length.ok_or_else(|| smb2::Error::invalid_data("a message is too long"))?;
        let mut frame = Vec::with_capacity(4 + message.len());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(message);
        if let Some(sent) = rewritten {
            lock(&self.shared.talk)[0] = Some(sent);
        }
        let mut writer = self.writer.lock().await;
        writer.write_all(&frame).await?;
        Ok(writer.flush().await?)
    }
}

impl<S: Stream> TransportSend for Sender<S> {
    fn send<'a, 'b, 'c>(&'a self, message: &'b [u8]) -> Promise<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.write(message))
    }
}

struct Receiver<S> {
    reader: AsyncMutex<ReadHalf<S>>,
    shared: Arc<Shared>,
}

impl<S: Stream> Receiver<S> {
    async fn read(&self) -> Result<Vec<u8>> {
        let mut reader = self.reader.lock().await;
        let mut head = [0; 4];
        reader.read_exact(&mut head).await.map_err(|_| smb2::Error::Disconnected)?;
        let length = u32::from_be_bytes(head) as usize;
        if head[0] != 0 {
            return Err(self.fail(Fault::NotSmb));
        }
        if length > LONGEST {
            return Err(self.fail(Fault::TooLong(length)));
        }
        let mut message = vec![0; length];
        reader.read_exact(&mut message).await.map_err(|_| smb2::Error::Disconnected)?;
        self.shared.admit(&message).map_err(|fault| self.fail(fault))?;
        let mut talk = lock(&self.shared.talk);
        if talk[1].is_none() {
            talk[1] = Some(message.clone());
        }
        Ok(message)
    }

    fn fail(&self, fault: Fault) -> smb2::Error {
        *lock(&self.shared.fault) = Some(fault);
        smb2::Error::Disconnected
    }
}

impl<S: Stream> TransportReceive for Receiver<S> {
    fn receive<'a, 'b>(&'a self) -> Promise<'b, Vec<u8>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.read())
    }
}

/// A negotiation as we want it: SMB 3.1.1 alone, whose negotiation nobody on the way can change unseen; signed always; and with
/// encryption. `None` for other messages.
fn strict(message: &[u8]) -> Result<Option<Vec<u8>>> {
    if message.get(..4) != Some(CLEAR) {
        return Ok(None);
    }
    let mut cursor = ReadCursor::new(message);
    if Header::unpack(&mut cursor)?.command != Command::Negotiate {
        return Ok(None);
    }
    let mut request = NegotiateRequest::unpack(&mut cursor)?;
    request.security_mode =
        SecurityMode::new(SecurityMode::SIGNING_ENABLED | SecurityMode::SIGNING_REQUIRED);
    request.capabilities = Capabilities::new(Capabilities::LARGE_MTU | Capabilities::ENCRYPTION);
    request.dialects = vec![Dialect::Smb3_1_1];
    for context in &mut request.negotiate_contexts {
        match context {
            // With 256 bits smb2 makes the keys of signatures as long, which is wrong: MS-SMB2 3.1.4.2.
            NegotiateContext::Encryption { ciphers } => {
                *ciphers = vec![CIPHER_AES_128_GCM, CIPHER_AES_128_CCM];
            }
            // It cannot sign as SMB 2 did.
            NegotiateContext::Signing { algorithms } => {
                *algorithms = vec![SIGNING_AES_GMAC, SIGNING_AES_CMAC];
            }
            _ => {}
        }
    }
    let mut packed = WriteCursor::new();
    packed.write_bytes(&message[..Header::SIZE]);
    request.pack(&mut packed);
    Ok(Some(packed.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of MS-SMB2 2.2.1.2 for a command.
    fn header(command: Command) -> Vec<u8> {
        let mut packed = WriteCursor::new();
        Header::new_request(command).pack(&mut packed);
        packed.into_inner()
    }

    #[test]
    fn the_negotiation_is_strict() {
        let mut message = header(Command::Negotiate);
        let mut body = WriteCursor::new();
        NegotiateRequest {
            security_mode: SecurityMode::new(SecurityMode::SIGNING_ENABLED),
            capabilities: Capabilities::new(Capabilities::DFS),
            client_guid: smb2::pack::Guid { data1: 1, data2: 2, data3: 3, data4: [4; 8] },
            dialects: Dialect::ALL.to_vec(),
            negotiate_contexts: vec![
                NegotiateContext::Encryption { ciphers: vec![1, 2, 3, 4] },
                NegotiateContext::Signing { algorithms: vec![0, 1, 2] },
            ],
        }
        .pack(&mut body);
        message.extend(body.into_inner());
        let sent = strict(&message).unwrap().unwrap();
        assert_eq!(sent[..Header::SIZE], message[..Header::SIZE]);
        let request =
            NegotiateRequest::unpack(&mut ReadCursor::new(&sent[Header::SIZE..])).unwrap();
        assert_eq!(request.dialects, [Dialect::Smb3_1_1]);
        assert!(request.capabilities.contains(Capabilities::ENCRYPTION));
        assert!(request.security_mode.signing_required());
        let expected = [
            NegotiateContext::Encryption { ciphers: vec![2, 1] },
            NegotiateContext::Signing { algorithms: vec![2, 1] },
        ];
        assert_eq!(request.negotiate_contexts, expected);
    }

    #[test]
    fn other_messages_stay() {
        assert_eq!(strict(&header(Command::Read)).unwrap(), None);
        assert_eq!(strict(b"\xfdSMB and so on").unwrap(), None);
        assert_eq!(strict(b"").unwrap(), None);
    }

    #[track_caller]
    fn check_admitted(message: &[u8], sealed: bool, expected: &str) {
        let shared = Shared::default();
        if sealed {
            shared.seal();
        }
        let said = shared.admit(message).map_or_else(|fault| fault.to_string(), |()| "ok".into());
        assert_eq!(said, expected);
    }

    #[test]
    fn what_comes_in() {
        check_admitted(b"\xfeSMB...", false, "ok");
        check_admitted(b"\xfdSMB...", false, "ok");
        check_admitted(b"\xfdSMB...", true, "ok");
        check_admitted(b"\xfeSMB...", true, "it sends what is not encrypted");
        // SMB 1, and what is compressed, which nobody asked for.
        check_admitted(b"\xffSMB...", false, "what listens on the port does not speak SMB");
        check_admitted(b"\xfcSMB...", false, "what listens on the port does not speak SMB");
        check_admitted(b"", false, "what listens on the port does not speak SMB");
    }
}
