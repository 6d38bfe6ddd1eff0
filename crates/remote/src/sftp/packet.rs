//! Packets of SFTP version 3, as draft-ietf-secsh-filexfer-02 lays them out, with extensions of OpenSSH (its PROTOCOL, 4).

/// The version that is spoken.
pub(super) const VERSION: u32 = 3;
/// The longest packet that is taken, in bytes; OpenSSH sends and takes no longer one.
pub(super) const MAX_PACKET: usize = 256 * 1024;
/// The longest handle, in bytes (the draft, 6.2).
const MAX_HANDLE: usize = 256;
/// How much is kept of what a server says of a failure, in bytes.
const MAX_MESSAGE: usize = 1024;
/// The length of a packet, which stands before it and does not count itself.
pub(super) const LENGTH: usize = 4;

/// SSH_FX_*: what became of a request.
pub(super) mod code {
    pub(in crate::sftp) const OK: u32 = 0;
    pub(in crate::sftp) const EOF: u32 = 1;
    pub(in crate::sftp) const NO_SUCH_FILE: u32 = 2;
    pub(in crate::sftp) const PERMISSION_DENIED: u32 = 3;
    pub(in crate::sftp) const OP_UNSUPPORTED: u32 = 8;
}

// SSH_FXP_*: the first byte of a packet.
const INIT: u8 = 1;
const VERSION_REPLY: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const READLINK: u8 = 19;
const SYMLINK: u8 = 20;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED: u8 = 200;
const EXTENDED_REPLY: u8 = 201;

// SSH_FILEXFER_ATTR_*: which attributes follow.
const SIZE: u32 = 1;
const UIDGID: u32 = 2;
const PERMISSIONS: u32 = 4;
const ACMODTIME: u32 = 8;
const MORE: u32 = 1 << 31;

/// SSH_FXF_*: how a file is opened.
const FOR_READING: u32 = 1;
const AS_NEW: u32 = 2 | 8 | 0x20;

/// The names of extensions.
pub(super) mod extension {
    pub(in crate::sftp) const POSIX_RENAME: &[u8] = b"posix-rename@openssh.com";
    pub(in crate::sftp) const HARDLINK: &[u8] = b"hardlink@openssh.com";
    pub(in crate::sftp) const LSETSTAT: &[u8] = b"lsetstat@openssh.com";
    pub(in crate::sftp) const LIMITS: &[u8] = b"limits@openssh.com";
    pub(in crate::sftp) const STATVFS: &[u8] = b"statvfs@openssh.com";
}

/// What is asked of a server. Paths and handles are bytes.
#[derive(Debug)]
pub(super) enum Request {
    Open(Vec<u8>),
    /// A new file, with these permissions.
    Create(Vec<u8>, u32),
    Close(Vec<u8>),
    Read {
        handle: Vec<u8>,
        offset: u64,
        length: u32,
    },
    Write {
        handle: Vec<u8>,
        offset: u64,
        data: Vec<u8>,
    },
    Stat(Vec<u8>),
    LStat(Vec<u8>),
    SetStat(Vec<u8>, Attributes),
    FSetStat(Vec<u8>, Attributes),
    OpenDir(Vec<u8>),
    ReadDir(Vec<u8>),
    Remove(Vec<u8>),
    MkDir(Vec<u8>, u32),
    RmDir(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    ReadLink(Vec<u8>),
    /// The text of a link, and its path.
    Symlink(Vec<u8>, Vec<u8>),
    PosixRename(Vec<u8>, Vec<u8>),
    HardLink(Vec<u8>, Vec<u8>),
    LSetStat(Vec<u8>, Attributes),
    StatVfs(Vec<u8>),
    Limits,
}

/// What is known of a file, or is to be changed of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// In bytes.
    pub(super) size: Option<u64>,
    /// The whole mode: the kind of file, too, if it comes from a server.
    pub(super) permissions: Option<u32>,
    /// Seconds since 1970. The time of the last access is set to the same.
    pub(super) modified: Option<u32>,
}

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status { code: u32, message: String },
    Handle(Vec<u8>),
    Data(Vec<u8>),
    Names(Vec<(Vec<u8>, Attributes)>),
    Attributes(Attributes),
    Extended(Vec<u8>),
}

/// A packet being written.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn string(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        self
    }

    fn attributes(&mut self, attributes: Attributes) -> &mut Self {
        let Attributes { size, permissions, modified } = attributes;
        let flag = |is_there: bool, flag| if is_there { flag } else { 0 };
        self.u32(
            flag(size.is_some(), SIZE)
                | flag(permissions.is_some(), PERMISSIONS)
                | flag(modified.is_some(), ACMODTIME),
        );
        if let Some(size) = size {
            self.u64(size);
        }
        if let Some(permissions) = permissions {
            self.u32(permissions);
        }
        if let Some(modified) = modified {
            self.u32(modified).u32(modified);
        }
        self
    }
}

/// Appends a packet with its length.
fn packet(to: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Writer<'_>)) {
    let start = to.len();
    to.extend_from_slice(&[0, 0, 0, 0, kind]);
    body(&mut Writer(to));
    let length = (to.len() - start - LENGTH) as u32;
    to[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
}

/// Appends the first packet of all.
pub(super) fn write_init(to: &mut Vec<u8>) {
    packet(to, INIT, |writer| {
        writer.u32(VERSION);
    });
}

impl Request {
    /// Appends it as a packet.
    pub(super) fn write(&self, id: u32, to: &mut Vec<u8>) {
        // First strings, then the rest.
        let mut put = |kind, strings: &[&[u8]], rest: &dyn Fn(&mut Writer<'_>)| {
            packet(to, kind, |writer| {
                writer.u32(id);
                for string in strings {
                    writer.string(string);
                }
                rest(writer);
            });
        };
        let mut all = |kind, strings: &[&[u8]]| put(kind, strings, &|_| {});
        match self {
            Request::Close(handle) => all(CLOSE, &[handle]),
            Request::Stat(path) => all(STAT, &[path]),
            Request::LStat(path) => all(LSTAT, &[path]),
            Request::OpenDir(path) => all(OPENDIR, &[path]),
            Request::ReadDir(handle) => all(READDIR, &[handle]),
            Request::Remove(path) => all(REMOVE, &[path]),
            Request::RmDir(path) => all(RMDIR, &[path]),
            Request::ReadLink(path) => all(READLINK, &[path]),
            Request::Rename(from, to) => all(RENAME, &[from, to]),
            // The draft has them the other way round; OpenSSH does not, and others do as it does.
            Request::Symlink(text, path) => all(SYMLINK, &[text, path]),
            Request::PosixRename(from, to) => all(EXTENDED, &[extension::POSIX_RENAME, from, to]),
            Request::HardLink(from, to) => all(EXTENDED, &[extension::HARDLINK, from, to]),
            Request::StatVfs(path) => all(EXTENDED, &[extension::STATVFS, path]),
            Request::Limits => all(EXTENDED, &[extension::LIMITS]),
            Request::Open(path) => put(OPEN, &[path], &|to| {
                to.u32(FOR_READING).attributes(Attributes::default());
            }),
            Request::Create(path, mode) => put(OPEN, &[path], &|to| {
                to.u32(AS_NEW).attributes(Attributes::of_mode(*mode));
            }),
            Request::MkDir(path, mode) => put(MKDIR, &[path], &|to| {
                to.attributes(Attributes::of_mode(*mode));
            }),
            Request::Read { handle, offset, length } => put(READ, &[handle], &|to| {
                to.u64(*offset).u32(*length);
            }),
            Request::Write { handle, offset, data } => put(WRITE, &[handle], &|to| {
                to.u64(*offset).string(data);
            }),
            Request::SetStat(path, attributes) => put(SETSTAT, &[path], &|to| {
                to.attributes(*attributes);
            }),
            Request::FSetStat(handle, attributes) => put(FSETSTAT, &[handle], &|to| {
                to.attributes(*attributes);
            }),
            Request::LSetStat(path, attributes) => {
                put(EXTENDED, &[extension::LSETSTAT, path], &|to| {
                    to.attributes(*attributes);
                });
            }
        }
    }
}

impl Attributes {
    /// A mode, and nothing else.
    pub(super) fn of_mode(mode: u32) -> Attributes {
        Attributes { permissions: Some(mode), ..Attributes::default() }
    }
}

/// A packet being read, without its length.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// A packet that ends before what it announces, or holds too much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        let has = |flag| flags & flag != 0;
        let size = if has(SIZE) { Some(self.u64()?) } else { None };
        if has(UIDGID) {
            self.u64()?;
        }
        let permissions = if has(PERMISSIONS) { Some(self.u32()?) } else { None };
        let modified = if has(ACMODTIME) { Some((self.u32()?, self.u32()?).1) } else { None };
        if has(MORE) {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(Attributes { size, permissions, modified })
    }

    fn names(&mut self) -> Result<Vec<(Vec<u8>, Attributes)>, Malformed> {
        let mut names = Vec::new();
        for _ in 0..self.u32()? {
            let name = self.string()?.to_vec();
            // The same as ls(1) would print it.
            self.string()?;
            names.push((name, self.attributes()?));
        }
        Ok(names)
    }
}

/// The version in a server's first packet, and the names of its extensions; `None` for another packet.
pub(super) fn read_version(packet: &[u8]) -> Option<(u32, Vec<Vec<u8>>)> {
    let mut reader = Reader(packet);
    if reader.array() != Ok([VERSION_REPLY]) {
        return None;
    }
    let version = reader.u32().ok()?;
    let mut extensions = Vec::new();
    while let (Ok(name), Ok(_)) = (reader.string(), reader.string()) {
        extensions.push(name.to_vec());
    }
    Some((version, extensions))
}

/// The id of the request that a packet answers, and the answer; `None` for a kind of packet that no server sends.
pub(super) fn read_reply(packet: &[u8]) -> Result<Option<(u32, Reply)>, Malformed> {
    let mut reader = Reader(packet);
    let [kind] = reader.array()?;
    let id = reader.u32()?;
    let reply = match kind {
        STATUS => {
            let code = reader.u32()?;
            // Servers of older versions say no more.
            let message = reader.string().unwrap_or_default();
            let message = &message[..message.len().min(MAX_MESSAGE)];
            Reply::Status { code, message: String::from_utf8_lossy(message).into_owned() }
        }
        HANDLE => match reader.string()? {
            handle if handle.len() > MAX_HANDLE => return Err(Malformed),
            handle => Reply::Handle(handle.to_vec()),
        },
        DATA => Reply::Data(reader.string()?.to_vec()),
        NAME => Reply::Names(reader.names()?),
        ATTRS => Reply::Attributes(reader.attributes()?),
        EXTENDED_REPLY => Reply::Extended(reader.0.to_vec()),
        _ => return Ok(None),
    };
    Ok(Some((id, reply)))
}

#[cfg(test)]
mod tests;
