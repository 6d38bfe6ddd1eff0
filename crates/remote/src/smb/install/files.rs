//! The program, as a file of the share that administrators have.

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smb2::client::connection::Connection;
use smb2::msg::close::CloseRequest;
use smb2::msg::create::{
    CreateDisposition, CreateRequest, CreateResponse, ImpersonationLevel, ShareAccess,
};
use smb2::msg::query_info::InfoType;
use smb2::msg::read::{ReadRequest, ReadResponse};
use smb2::msg::set_info::SetInfoRequest;
use smb2::msg::write::{WriteRequest, WriteResponse};
use smb2::pack::{ReadCursor, Unpack};
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, FileId, OplockLevel, TreeId};
use thither_place::Endpoint;
use tokio::time::{sleep, timeout};

use super::super::carry::{CHUNK, DATA};
use super::super::failure::Fault;
use super::super::session::{self, Share, succeeded};
use super::super::{Smb, TIMEOUT, login};
use super::trouble::Trouble;
use crate::bridge;
use crate::through::Through;

type Result<T> = std::result::Result<T, Fault>;

/// The share of administrators: what `%SystemRoot%` is over there.
pub(super) const SHARE: &str = "ADMIN$";
/// How long all that is done with one connection may take.
const WORK: Duration = Duration::from_secs(300);
/// How long a file may be in use that is to be removed: a service that has stopped is still a process for a moment.
const IN_USE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(100);

/// FILE_NON_DIRECTORY_FILE and FILE_DELETE_ON_CLOSE of MS-SMB2 2.2.13.
const NO_FOLDER: u32 = 0x40;
const DELETE_ON_CLOSE: u32 = 0x1000;
/// FileRenameInformation of MS-FSCC 2.4.
const RENAME: u8 = 10;

/// What is there by the name of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// These bytes.
    Same,
    /// Others, so many.
    Other(u64),
}

/// How something is opened.
struct Opening {
    access: u32,
    share: u32,
    how: CreateDisposition,
    options: u32,
}

/// What is there by this name, compared with these bytes.
pub(super) fn look(
    smb: &Smb,
    cancel: Option<BorrowedFd<'_>>,
    name: &'static str,
    bytes: &Arc<[u8]>,
) -> std::result::Result<Found, Trouble> {
    let bytes = Arc::clone(bytes);
    on_share(smb, cancel, async move |share| Tree::of(&share).compare(name, &bytes).await)
}

/// Writes a file under another name, and renames it once it is whole; nothing may be there by its name.
pub(super) fn put(
    smb: &Smb,
    cancel: Option<BorrowedFd<'_>>,
    (new, name): (&'static str, &'static str),
    bytes: &Arc<[u8]>,
) -> std::result::Result<(), Trouble> {
    let bytes = Arc::clone(bytes);
    on_share(smb, cancel, async move |share| Tree::of(&share).put(new, name, &bytes).await)
}

/// Removes a file. Says whether it was there.
pub(super) fn remove(
    smb: &Smb,
    cancel: Option<BorrowedFd<'_>>,
    name: &'static str,
) -> std::result::Result<bool, Trouble> {
    on_share(smb, cancel, async move |share| Tree::of(&share).remove(name).await)
}

/// Does this with a connection of its own to the share.
fn on_share<T: Send + 'static, F>(
    smb: &Smb,
    cancel: Option<BorrowedFd<'_>>,
    work: impl FnOnce(Share) -> F + Send + 'static,
) -> std::result::Result<T, Trouble>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let place = smb.address();
    let target = smb.target();
    let outside = |fault: Fault| Trouble::from(fault.at(&place));
    login::check(&target).map_err(outside)?;
    let stream = match &smb.through {
        Some(Through(dial)) => {
            Some(dial(&Endpoint::Tcp { host: target.host.clone(), port: target.port })?)
        }
        None => None,
    };
    let limit = smb.settings.timeout.unwrap_or(TIMEOUT);
    let user = target.user.clone();
    let work = async move {
        let share = timeout(limit, session::share(&target, stream, SHARE)).await;
        let share = match share.map_err(|_| Fault::Silent { limit }).and_then(|share| share) {
            Ok(share) => share,
            Err(fault) => return Err(fault.of_share(SHARE, &target.user)),
        };
        let shared = Arc::clone(&share.shared);
        let worked = timeout(WORK, work(share)).await;
        let worked = worked.map_err(|_| Fault::Silent { limit: WORK });
        Ok(worked.and_then(|result| result.map_err(|fault| shared.fault().unwrap_or(fault))))
    };
    match bridge::run(work, cancel)? {
        Some(Ok(worked)) => worked.map_err(|fault| fault.of_share(SHARE, &user).into()),
        Some(Err(fault)) => Err(outside(fault)),
        None => Err(Trouble::Cancelled),
    }
}

/// A share, and what is done in it.
struct Tree<'a> {
    connection: &'a Connection,
    tree: TreeId,
    /// The longest write, in bytes.
    longest: usize,
}

impl Tree<'_> {
    fn of(share: &Share) -> Tree<'_> {
        let longest = CHUNK.min(share.longest as usize);
        Tree { connection: &share.connection, tree: share.tree, longest }
    }

    async fn compare(&self, name: &str, bytes: &[u8]) -> Result<Found> {
        let opening = Opening {
            access: FileAccessMask::FILE_READ_DATA | FileAccessMask::FILE_READ_ATTRIBUTES,
            // It may run, and be on its way out.
            share: ShareAccess::FILE_SHARE_READ | ShareAccess::FILE_SHARE_DELETE,
            how: CreateDisposition::FileOpen,
            options: NO_FOLDER,
        };
        let opened = match self.open(name, &opening).await {
            Err(Fault::Refused { status: NtStatus::OBJECT_NAME_NOT_FOUND, .. }) => {
                return Ok(Found::Nothing);
            }
            opened => opened?,
        };
        let size = opened.end_of_file;
        let same = match size == bytes.len() as u64 {
            true => self.holds(opened.file_id, bytes).await,
            false => Ok(false),
        };
        self.close(opened.file_id).await?;
        Ok(if same? { Found::Same } else { Found::Other(size) })
    }

    /// Whether a file begins with these bytes.
    async fn holds(&self, file: FileId, bytes: &[u8]) -> Result<bool> {
        let mut at = 0;
        while at < bytes.len() {
            let wanted = (bytes.len() - at).min(CHUNK);
            let request = ReadRequest {
                // Where the data shall begin, counted from the header.
                padding: 0x50,
                flags: 0,
                length: wanted as u32,
                offset: at as u64,
                file_id: file,
                minimum_count: 0,
                channel: 0,
                remaining_bytes: 0,
                read_channel_info: Vec::new(),
            };
            let frame = self.connection.execute(Command::Read, &request, Some(self.tree)).await?;
            if frame.header.status == NtStatus::END_OF_FILE {
                return Ok(false);
            }
            let read = ReadResponse::unpack(&mut ReadCursor::new(succeeded(&frame)?))?.data;
            if read.is_empty() || bytes.get(at..at + read.len()) != Some(&read[..]) {
                return Ok(false);
            }
            at += read.len();
        }
        Ok(true)
    }

    async fn put(&self, new: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let opening = Opening {
            access: FileAccessMask::FILE_WRITE_DATA
                | FileAccessMask::DELETE
                | FileAccessMask::SYNCHRONIZE,
            // Whoever does the same is kept out, until it has its name.
            share: 0,
            // One that was left by who was killed is overwritten.
            how: CreateDisposition::FileOverwriteIf,
            options: NO_FOLDER,
        };
        let file = self.open(new, &opening).await?.file_id;
        let done = match self.write(file, bytes).await {
            Ok(()) => self.rename(file, name).await,
            Err(fault) => Err(fault),
        };
        let closed = self.close(file).await;
        done.and(closed)
    }

    async fn write(&self, file: FileId, bytes: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let part = &bytes[at..bytes.len().min(at + self.longest)];
            let request = WriteRequest {
                data_offset: DATA,
                offset: at as u64,
                file_id: file,
                channel: 0,
                remaining_bytes: 0,
                write_channel_info_offset: 0,
                write_channel_info_length: 0,
                flags: 0,
                data: part.to_vec(),
            };
            let frame = self.connection.execute(Command::Write, &request, Some(self.tree)).await?;
            let written = WriteResponse::unpack(&mut ReadCursor::new(succeeded(&frame)?))?.count;
            match written as usize {
                n if (1..=part.len()).contains(&n) => at += n,
                _ => return Err(Fault::Malformed(smb2::Error::invalid_data("an empty write"))),
            }
        }
        Ok(())
    }

    /// `u8 replace | u8[7] | u64 folder | u32 length | name`, MS-FSCC 2.4.42.2: nothing is replaced.
    async fn rename(&self, file: FileId, name: &str) -> Result<()> {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut buffer = vec![0; 16];
        buffer.extend_from_slice(&(name.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&name);
        let request = SetInfoRequest {
            info_type: InfoType::File,
            file_info_class: RENAME,
            additional_information: 0,
            file_id: file,
            buffer,
        };
        let frame = self.connection.execute(Command::SetInfo, &request, Some(self.tree)).await?;
        succeeded(&frame).map(drop)
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        let opening = Opening {
            access: FileAccessMask::DELETE,
            share: ShareAccess::FILE_SHARE_READ
                | ShareAccess::FILE_SHARE_WRITE
                | ShareAccess::FILE_SHARE_DELETE,
            how: CreateDisposition::FileOpen,
            options: NO_FOLDER | DELETE_ON_CLOSE,
        };
        let end = Instant::now() + IN_USE;
        loop {
            match self.open(name, &opening).await {
                Ok(opened) => return self.close(opened.file_id).await.map(|()| true),
                Err(Fault::Refused { status: NtStatus::OBJECT_NAME_NOT_FOUND, .. }) => {
                    return Ok(false);
                }
                Err(Fault::Refused { status, .. }) if is_in_use(status) && Instant::now() < end => {
                    sleep(AGAIN).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn open(&self, name: &str, opening: &Opening) -> Result<CreateResponse> {
        let request = CreateRequest {
            requested_oplock_level: OplockLevel::None,
            impersonation_level: ImpersonationLevel::Impersonation,
            desired_access: FileAccessMask::new(opening.access),
            file_attributes: 0,
            share_access: ShareAccess(opening.share),
            create_disposition: opening.how,
            create_options: opening.options,
            name: name.to_owned(),
            create_contexts: Vec::new(),
        };
        let frame = self.connection.execute(Command::Create, &request, Some(self.tree)).await?;
        Ok(CreateResponse::unpack(&mut ReadCursor::new(succeeded(&frame)?))?)
    }

    async fn close(&self, file: FileId) -> Result<()> {
        let request = CloseRequest { flags: 0, file_id: file };
        let frame = self.connection.execute(Command::Close, &request, Some(self.tree)).await?;
        succeeded(&frame).map(drop)
    }
}

fn is_in_use(status: NtStatus) -> bool {
    let statuses = [NtStatus::SHARING_VIOLATION, NtStatus::CANNOT_DELETE, NtStatus::DELETE_PENDING];
    statuses.contains(&status)
}
