//! A tar archive as a stream of headers and contents. Extensions are applied; nothing is believed.

use std::io::{self, BufRead, BufReader, Read};

use super::Watch;
use super::failed::{bad_entry, cut_short, malformed};
use super::header::{BLOCK, Block, Header};
use super::pax::{Pax, Sparse};
use super::preserve::{Owner, Preserve};
use super::sparse::{MapReader, checked, stored};

/// The longest name, and the longest text of a link: `PATH_MAX` of Linux.
pub(crate) const MAX_NAME: usize = 4096;
/// The longest extended header. Attributes, which are passed over, may have 64 KiB each.
const MAX_RECORDS: u64 = 1 << 20;
/// How many headers of extensions may stand before one entry.
const MAX_EXTENSIONS: usize = 16;
/// How much may follow the end of an archive: tar(1) pads it to a record, of 10 KiB by default.
const MAX_PADDING: u64 = 4 << 20;
/// Enough for a pipe's whole content.
const BUFFER: usize = 64 * 1024;

/// The flags of headers.
pub(crate) mod flag {
    pub(crate) const FILE: u8 = b'0';
    pub(crate) const HARD_LINK: u8 = b'1';
    pub(crate) const SYMLINK: u8 = b'2';
    pub(crate) const DIRECTORY: u8 = b'5';
    /// Records for the next header.
    pub(crate) const PAX: u8 = b'x';
    /// Records for all that follow.
    pub(crate) const PAX_GLOBAL: u8 = b'g';
    /// GNU: the next header's name is the content of this one.
    pub(crate) const LONG_NAME: u8 = b'L';
    /// GNU: the same with what a link names.
    pub(crate) const LONG_LINK: u8 = b'K';
    /// GNU: a sparse file.
    pub(crate) const SPARSE: u8 = b'S';
}

/// Reads an archive.
pub(crate) struct Reader<R> {
    from: BufReader<R>,
    /// What is left of the entry's content.
    left: u64,
    /// What follows it up to the next block.
    padding: u64,
    ended: bool,
    /// What extensions may say.
    pub(super) preserve: Preserve,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Reader<R> {
        Reader::of(buffered(from))
    }

    /// From a stream of which something may have been read ahead.
    pub(super) fn of(from: BufReader<R>) -> Reader<R> {
        let preserve = Preserve::default();
        Reader { from, left: 0, padding: 0, ended: false, preserve }
    }

    /// The next entry, with what extensions say of it; what is left of the one before is passed over. `None` once the
    /// archive has ended as it should, and the stream after it.
    ///
    /// # Errors
    /// `UnexpectedEof` for a stream that ends too soon, `InvalidData` for a bad archive, those of the stream.
    pub(crate) fn next(&mut self, watch: &mut Watch) -> io::Result<Option<Header>> {
        let mut pax = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..=MAX_EXTENSIONS {
            let Some(mut header) = self.header(watch)? else { return Ok(None) };
            match header.flag {
                flag::LONG_NAME => long_name = Some(self.long_text(&header, watch)?),
                flag::LONG_LINK => long_link = Some(self.long_text(&header, watch)?),
                flag::PAX => pax = self.records(&header, watch)?,
                flag::PAX_GLOBAL => {
                    if !self.records(&header, watch)?.renames_nothing() {
                        return Err(malformed("it has a global header that renames or resizes"));
                    }
                }
                flag::SPARSE => return Err(bad_entry(name_of(&header.name), SPARSE)),
                _ => {
                    header.name = pax.path.or(long_name).unwrap_or(header.name);
                    header.link = pax.link.or(long_link).unwrap_or(header.link);
                    header.size = pax.size.unwrap_or(header.size);
                    header.modified = pax.modified.unwrap_or(header.modified);
                    if pax.sparse.is_some() && !self.preserve.sparse {
                        return Err(bad_entry(name_of(&header.name), SPARSE));
                    }
                    set_owner(&mut header, pax.uid, pax.gid);
                    header.extra.attributes = pax.attributes;
                    if let Some(name) = pax.sparse.as_ref().and_then(|it| it.name.as_ref()) {
                        header.name.clone_from(name);
                    }
                    if header.name.len() > MAX_NAME || header.link.len() > MAX_NAME {
                        return Err(bad_entry(
                            name_of(&header.name),
                            "has a name that is too long",
                        ));
                    }
                    self.expect(content_size(&header))?;
                    header.size = self.left;
                    if let Some(sparse) = pax.sparse {
                        self.find_holes(&mut header, sparse, watch)?;
                    }
                    return Ok(Some(header));
                }
            }
        }
        Err(malformed("too many extensions of one entry"))
    }

    /// Reads from the content of the entry; 0 at its end.
    ///
    /// # Errors
    /// `UnexpectedEof` for a stream that ends before, those of the stream.
    pub(crate) fn read_content(&mut self, buf: &mut [u8], watch: &mut Watch) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let read = patiently(watch, || self.from.read(&mut buf[..most]))?;
        if read == 0 {
            return Err(cut_short());
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Where a sparse file has data, as GNU's versions 0.1 and 1.0 say it. What is left of the content afterwards is data.
    fn find_holes(
        &mut self,
        header: &mut Header,
        sparse: Sparse,
        watch: &mut Watch,
    ) -> io::Result<()> {
        let wrong = |what| bad_entry(name_of(&header.name), what);
        let segments = match (sparse.major, sparse.map) {
            (None | Some(0), Some(map)) => map,
            (Some(1), _) => self.read_map(watch)?,
            _ => return Err(wrong("is a sparse file of an unknown version")),
        };
        let size = sparse.size.filter(|&size| i64::try_from(size).is_ok());
        let size = size.ok_or_else(|| wrong("is a sparse file without a size"))?;
        let segments = checked(segments, size).filter(|segments| stored(segments) == self.left);
        let is_file = matches!(header.flag, flag::FILE | b'\0' | b'7');
        let segments = segments.filter(|_| is_file);
        header.extra.data =
            Some(segments.ok_or_else(|| wrong("is a sparse file whose map is wrong"))?);
        header.size = size;
        Ok(())
    }

    fn read_map(&mut self, watch: &mut Watch) -> io::Result<Vec<super::Segment>> {
        let mut map = MapReader::default();
        loop {
            // It takes whole blocks of the content.
            if self.left < BLOCK as u64 {
                return Err(malformed("the map of a sparse file is cut short"));
            }
            self.left -= BLOCK as u64;
            for byte in self.block(watch)? {
                if map.take(byte).map_err(malformed)? {
                    return Ok(map.segments());
                }
            }
        }
    }

    /// A block that is a header, with what follows it still to be read; `None` at the end.
    fn header(&mut self, watch: &mut Watch) -> io::Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        self.skip(self.left + self.padding, watch)?;
        (self.left, self.padding) = (0, 0);
        match Header::parse(&self.block(watch)?).map_err(malformed)? {
            Some(header) => Ok(Some(header)),
            None => {
                if self.block(watch)?.iter().any(|&byte| byte != 0) {
                    return Err(malformed("a single block of zeros is in its midst"));
                }
                self.drain(watch)?;
                self.ended = true;
                Ok(None)
            }
        }
    }

    /// Reads what follows the end: only the end of the stream says that whoever wrote it was content.
    fn drain(&mut self, watch: &mut Watch) -> io::Result<()> {
        let mut drained = 0;
        loop {
            match patiently(watch, || self.from.fill_buf().map(<[u8]>::len))? {
                0 => return Ok(()),
                more => {
                    self.from.consume(more);
                    drained += more as u64;
                }
            }
            if drained > MAX_PADDING {
                return Err(malformed("its stream goes on after its end"));
            }
        }
    }

    fn expect(&mut self, size: u64) -> io::Result<()> {
        // As in the header, so that the block after it can be counted too.
        if size > i64::MAX as u64 - BLOCK as u64 {
            return Err(malformed("a size is too great"));
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn block(&mut self, watch: &mut Watch) -> io::Result<Block> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match patiently(watch, || self.from.read(&mut block[filled..]))? {
                0 => return Err(cut_short()),
                read => filled += read,
            }
        }
        Ok(block)
    }

    fn skip(&mut self, mut bytes: u64, watch: &mut Watch) -> io::Result<()> {
        while bytes > 0 {
            let there = patiently(watch, || self.from.fill_buf().map(<[u8]>::len))?;
            if there == 0 {
                return Err(cut_short());
            }
            let skipped = usize::try_from(bytes).unwrap_or(usize::MAX).min(there);
            self.from.consume(skipped);
            bytes -= skipped as u64;
        }
        Ok(())
    }

    /// The content of an extension, in memory that grows with what arrives.
    fn extension(&mut self, header: &Header, most: u64, watch: &mut Watch) -> io::Result<Vec<u8>> {
        if header.size > most {
            return Err(malformed("an extension is too long"));
        }
        self.expect(header.size)?;
        let mut content = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match self.read_content(&mut chunk, watch)? {
                0 => return Ok(content),
                read => content.extend_from_slice(&chunk[..read]),
            }
        }
    }

    fn long_text(&mut self, header: &Header, watch: &mut Watch) -> io::Result<Vec<u8>> {
        let mut text = self.extension(header, MAX_NAME as u64 + 1, watch)?;
        // It has a NUL at its end, and nothing counts after one.
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        text.truncate(end);
        Ok(text)
    }

    fn records(&mut self, header: &Header, watch: &mut Watch) -> io::Result<Pax> {
        Pax::parse(&self.extension(header, MAX_RECORDS, watch)?).map_err(malformed)
    }
}

/// A stream with a buffer that is large enough.
pub(super) fn buffered<R: Read>(from: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER, from)
}

const SPARSE: &str =
    "is stored as a sparse file, which is not supported: pack it without `--sparse`";

/// Numbers that are greater than a header can say.
fn set_owner(header: &mut Header, uid: Option<u64>, gid: Option<u64>) {
    let said = |said: Option<u64>, header: Option<u32>| match said {
        Some(id) => u32::try_from(id).ok(),
        None => header,
    };
    let owner = header.extra.owner;
    let uid = said(uid, owner.map(|it| it.uid));
    let gid = said(gid, owner.map(|it| it.gid));
    header.extra.owner = uid.zip(gid).map(|(uid, gid)| Owner { uid, gid });
}

/// Links and folders have no content, whatever their size says: POSIX has it so, and so do other programs.
fn content_size(header: &Header) -> u64 {
    match header.flag {
        b'1'..=b'6' => 0,
        _ => header.size,
    }
}

fn name_of(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

/// Repeats a read that was interrupted, or had nothing yet: then whoever watches may end it.
pub(super) fn patiently<T>(
    watch: &mut Watch,
    mut read: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => watch.idle()?,
            other => return other,
        }
    }
}
