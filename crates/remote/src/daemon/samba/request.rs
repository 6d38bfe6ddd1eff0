//! What smbd says when it connects to a pipe's socket: who the client of SMB is; and the answer.
//!
//! The format is Samba's own, `named_pipe_auth_req` in librpc/idl/named_pipe_auth.idl, with what `auth.idl` and `security.idl`
//! define; it is NDR behind a length, and its level changes whenever one of those does. Level 7 is that of Samba 4.17.

use super::ndr::{Malformed, Reader};

/// The longest request, in bytes. A user in a thousand groups has about 40 KiB.
pub const LONGEST: usize = 64 * 1024;
/// The length in front, which counts what follows it.
pub(super) const LENGTH: usize = 4;
/// `NAMED_PIPE_AUTH_MAGIC`.
const MAGIC: &[u8] = b"NPAM";
/// The level that is understood.
pub const LEVEL: u32 = 7;
/// `NCACN_NP` of dcerpc.idl: a named pipe.
const NAMED_PIPE: u8 = 1;
/// `FILE_TYPE_BYTE_MODE_PIPE`: what follows is a stream.
const STREAM: u16 = 1;
/// A stream of which there may be any number (MS-CIFS, 2.2.1.3).
const DEVICE_STATE: u16 = 0x00ff;

/// NTSTATUS (MS-ERREF, 2.3): all is well.
pub const OK: u32 = 0;
/// NTSTATUS: `STATUS_ACCESS_DENIED`.
pub const ACCESS_DENIED: u32 = 0xc000_0022;

/// A security identifier (MS-DTYP, 2.4.2): the authority, and what it tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sid {
    authority: u64,
    parts: Vec<u32>,
}

impl Sid {
    fn is(&self, authority: u64, parts: &[u32]) -> bool {
        self.authority == authority && self.parts == parts
    }

    /// One of those that stand for whoever did not say who they are (MS-DTYP, 2.4.2.4): S-1-5-7 anonymous, S-1-5-32-546 guests,
    /// and the guest of any domain, S-1-5-21-…-501.
    fn is_nobody(&self) -> bool {
        let guest = matches!(self.parts[..], [21, _, _, _, 501]) && self.authority == 5;
        self.is(5, &[7]) || self.is(5, &[32, 546]) || guest
    }

    /// S-1-5-11: those who have proved who they are.
    fn is_authenticated(&self) -> bool {
        self.is(5, &[11])
    }
}

/// Who is at the other end of the pipe, as smbd says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where from: an address, and a name if there is one.
    pub client: String,
    /// The name in the domain; empty if there is none.
    pub account: String,
    /// The domain, or the host if the account is its own.
    pub domain: String,
    /// The user of this machine that smbd has mapped it to; empty if there is none.
    pub unix_name: String,
    /// That user's id, and that of its group.
    pub ids: (u64, u64),
    /// Whether it has proved who it is: neither a guest nor anonymous.
    pub authenticated: bool,
}

impl Request {
    /// Reads a whole request, its length included.
    ///
    /// # Errors
    /// When it is none, or of another level, or says nothing of a user.
    pub fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let mut reader = Reader::new(bytes);
        let length = reader.take(LENGTH)?;
        if length != u32::try_from(bytes.len() - LENGTH).unwrap_or(0).to_be_bytes() {
            return Err(Malformed("its length is another"));
        }
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(Malformed("it is not Samba's"));
        }
        if reader.u32()? != LEVEL || reader.u32()? != LEVEL {
            return Err(Malformed("it is not of level 7, which Samba 4.17 has"));
        }
        let request = info(&mut reader)?;
        match reader.left() {
            0 => Ok(request),
            _ => Err(Malformed("something follows it")),
        }
    }

    /// `DOMAIN\user from CLIENT`.
    pub(crate) fn shown(&self) -> String {
        format!(r"{}\{} from {}", self.domain, self.account, self.client)
    }
}

/// `named_pipe_auth_req_info7`.
fn info(reader: &mut Reader<'_>) -> Result<Request, Malformed> {
    if reader.u8()? != NAMED_PIPE {
        return Err(Malformed("it is not about a named pipe"));
    }
    let mut ends = [(false, false); 2];
    for end in &mut ends {
        *end = (reader.pointer()?, reader.pointer()?);
        let _port = reader.u16()?;
    }
    let has_session = reader.pointer()?;
    let [client, _server] = ends;
    let name = reader.string_if(client.0)?;
    let address = reader.string_if(client.1)?;
    let (_, _) = (reader.string_if(ends[1].0)?, reader.string_if(ends[1].1)?);
    if !has_session {
        return Err(Malformed("it says nothing of a session"));
    }
    let client = match (address, name) {
        (Some(address), Some(name)) if name != address => format!("{address} ({name})"),
        (Some(text), _) | (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    };
    session(reader, client)
}

/// `auth_session_info_transport` and the `auth_session_info` in it.
fn session(reader: &mut Reader<'_>, client: String) -> Result<Request, Malformed> {
    let has_session = reader.pointer()?;
    let _credentials = reader.blob()?;
    if !has_session {
        return Err(Malformed("it says nothing of a session"));
    }
    let all = [(); 4].map(|()| reader.pointer());
    let torture = reader.pointer()?;
    let _session_key = reader.blob()?;
    let credentials = reader.pointer()?;
    reader.align(4)?;
    let _unique_session_token = reader.take(16)?;
    let _ticket_type = reader.u32()?;
    if all != [Ok(true); 4] || torture || credentials {
        return Err(Malformed("it says too little or too much of a session"));
    }
    let sids = security_token(reader)?;
    let ids = unix_token(reader)?;
    let user = user_info(reader)?;
    let pointers = (reader.pointer()?, reader.pointer()?);
    let unix_name = reader.string_if(pointers.0)?.unwrap_or_default().to_owned();
    let _sanitized_username = reader.string_if(pointers.1)?;
    let proved = sids.iter().any(Sid::is_authenticated) && !sids.iter().any(Sid::is_nobody);
    Ok(Request {
        client,
        account: user.account,
        domain: user.domain,
        unix_name,
        ids,
        authenticated: user.authenticated && proved,
    })
}

/// `security_token`: its array is not the last of it, so that the array's size comes behind the number.
fn security_token(reader: &mut Reader<'_>) -> Result<Vec<Sid>, Malformed> {
    reader.align(8)?;
    let number = reader.u32()?;
    // The shortest is that of an authority alone.
    let count = reader.count(8)?;
    if u32::try_from(count) != Ok(number) {
        return Err(Malformed("its numbers of identifiers differ"));
    }
    let sids = (0..count).map(|_| sid(reader)).collect();
    let _privileges = reader.u64()?;
    let _rights = reader.u32()?;
    sids
}

/// `dom_sid`.
fn sid(reader: &mut Reader<'_>) -> Result<Sid, Malformed> {
    reader.align(4)?;
    let (revision, count) = (reader.u8()?, reader.u8()?);
    // The most that there may be (MS-DTYP, 2.4.2.2).
    if revision != 1 || count > 15 {
        return Err(Malformed("an identifier is none"));
    }
    let authority = reader.take(6)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let parts = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
    Ok(Sid { authority, parts })
}

/// `security_unix_token`: its array is the last of it, so that the array's size comes first.
fn unix_token(reader: &mut Reader<'_>) -> Result<(u64, u64), Malformed> {
    let count = reader.count(8)?;
    let ids = (reader.u64()?, reader.u64()?);
    if usize::try_from(reader.u32()?) != Ok(count) {
        return Err(Malformed("its numbers of groups differ"));
    }
    for _ in 0..count {
        let _group = reader.u64()?;
    }
    Ok(ids)
}

struct UserInfo {
    account: String,
    domain: String,
    authenticated: bool,
}

/// `auth_user_info`.
fn user_info(reader: &mut Reader<'_>) -> Result<UserInfo, Malformed> {
    let (account, principal) = (reader.pointer()?, reader.pointer()?);
    let _constructed = reader.u8()?;
    let domain = reader.pointer()?;
    // dns_domain_name, full_name, logon_script, profile_path, home_directory, home_drive, logon_server.
    let others = [(); 7].map(|()| reader.pointer());
    for _six_times_of_two in 0..12 {
        let _half = reader.u32()?;
    }
    let (_logons, _bad_passwords) = (reader.u16()?, reader.u16()?);
    let _flags = reader.u32()?;
    let authenticated = reader.u8()? != 0;
    let account = reader.string_if(account)?.unwrap_or_default().to_owned();
    let _principal = reader.string_if(principal)?;
    let domain = reader.string_if(domain)?.unwrap_or_default().to_owned();
    for there in others {
        let _other = reader.string_if(there?)?;
    }
    Ok(UserInfo { account, domain, authenticated })
}

/// The answer: `named_pipe_auth_rep` of the same level.
#[must_use]
pub fn reply(status: u32) -> Vec<u8> {
    let mut reply = vec![0; LENGTH];
    reply.extend_from_slice(MAGIC);
    reply.extend(LEVEL.to_le_bytes());
    reply.extend(LEVEL.to_le_bytes());
    reply.extend(STREAM.to_le_bytes());
    reply.extend(DEVICE_STATE.to_le_bytes());
    reply.resize(reply.len().next_multiple_of(8), 0);
    let allocation_size: u64 = 0;
    reply.extend(allocation_size.to_le_bytes());
    reply.extend(status.to_le_bytes());
    let length = (reply.len() - LENGTH) as u32;
    reply[..LENGTH].copy_from_slice(&length.to_be_bytes());
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// What smbd of Debian 12 said of a user with a password, with `map to guest = Bad User` of a user that it does not know, and
    /// of a client without a name. Keys, tokens, times and names are made up.
    const USER: &[u8] = include_bytes!("../../../tests/daemon/samba/user.bin");
    const GUEST: &[u8] = include_bytes!("../../../tests/daemon/samba/guest.bin");
    const ANONYMOUS: &[u8] = include_bytes!("../../../tests/daemon/samba/anonymous.bin");

    #[track_caller]
    fn check(bytes: &[u8], expected: Expect) {
        expected.assert_eq(&match Request::decode(bytes) {
            Ok(request) => {
                let Request { unix_name, ids: (uid, gid), authenticated, .. } = &request;
                let shown = request.shown();
                format!("{shown}: {unix_name:?} {uid}:{gid} {authenticated}")
            }
            Err(error) => error.to_string(),
        });
    }

    /// The request with other bytes from here on.
    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut request = USER.to_vec();
        request[at..at + bytes.len()].copy_from_slice(bytes);
        request
    }

    /// With the first of these replaced, which are as many.
    fn replaced(old: &[u8], new: &[u8]) -> Vec<u8> {
        assert_eq!(old.len(), new.len());
        let at = USER.windows(old.len()).position(|part| part == old).unwrap();
        with(at, new)
    }

    fn sid(parts: &[u32]) -> Vec<u8> {
        let head = [1, parts.len() as u8, 0, 0, 0, 0, 0, 5];
        head.into_iter().chain(parts.iter().flat_map(|part| part.to_le_bytes())).collect()
    }

    #[test]
    fn those_of_a_real_smbd() {
        check(USER, expect![[r#"TESTHOST\alice from 127.0.0.1 (pc): "alice" 1009:1009 true"#]]);
        check(
            GUEST,
            expect![[r#"TESTHOST\nobody from 127.0.0.1 (pc): "nobody" 65534:65534 false"#]],
        );
        let anonymous = expect![[
            r#"NT AUTHORITY\ANONYMOUS LOGON from 127.0.0.1 (pc): "nobody" 65534:65534 false"#
        ]];
        check(ANONYMOUS, anonymous);
    }

    #[test]
    fn each_sign_of_a_nobody_is_enough() {
        let unproved =
            || expect![[r#"TESTHOST\alice from 127.0.0.1 (pc): "alice" 1009:1009 false"#]];
        // S-1-5-11 is authenticated.
        check(&replaced(&sid(&[11]), &sid(&[7])), unproved());
        check(&replaced(&sid(&[11]), &sid(&[2])), unproved());
        check(&replaced(&sid(&[2]), &sid(&[7])), unproved());
        check(&replaced(&sid(&[21, 1, 2, 3, 1000]), &sid(&[21, 1, 2, 3, 501])), unproved());
        // It is the byte behind acct_flags.
        check(&replaced(&[16, 0, 0, 0, 1, 0, 0, 0, 6], &[16, 0, 0, 0, 0, 0, 0, 0, 6]), unproved());
        let group = [&[1, 2, 0, 0, 0, 0, 0, 22, 2, 0, 0, 0][..], &1009_u32.to_le_bytes()].concat();
        check(&replaced(&group, &sid(&[32, 546])), unproved());
    }

    #[test]
    fn what_is_no_request() {
        check(b"", expect!["it is cut short"]);
        check(b"\0\0\0\0", expect!["it is cut short"]);
        check(b"\0\0\0\x01NPAM", expect!["its length is another"]);
        check(&with(4, b"XPAM"), expect!["it is not Samba's"]);
        let level = || expect!["it is not of level 7, which Samba 4.17 has"];
        for other in [0, 1, 6, 8, u32::MAX] {
            check(&with(8, &other.to_le_bytes()), level());
            check(&with(12, &other.to_le_bytes()), level());
        }
        check(&with(16, b"\x02"), expect!["it is not about a named pipe"]);
        check(&with(0x2c, &[0; 4]), expect!["it says nothing of a session"]);
        check(&with(0x80, &[0; 4]), expect!["it says nothing of a session"]);
        for pointer in [0x88, 0x8c, 0x90, 0x94] {
            let session = expect!["it says too little or too much of a session"];
            check(&with(pointer, &[0; 4]), session);
        }
        check(&with(0xc8, &[8]), expect!["its numbers of identifiers differ"]);
        check(&with(0xcc, &[255; 4]), expect!["it is cut short"]);
        check(&with(0xd0, &[2]), expect!["an identifier is none"]);
        check(&with(0xd1, &[16]), expect!["an identifier is none"]);
        check(&with(0x184, &[255; 4]), expect!["it is cut short"]);
        check(&with(0x198, &[2]), expect!["its numbers of groups differ"]);
        let mut longer = [USER, b"\0"].concat();
        longer[3] += 1;
        check(&longer, expect!["something follows it"]);
    }

    #[test]
    fn one_that_is_cut_says_nothing() {
        for length in LENGTH..USER.len() {
            let mut cut = USER[..length].to_vec();
            cut[..LENGTH].copy_from_slice(&((length - LENGTH) as u32).to_be_bytes());
            assert!(Request::decode(&cut).is_err(), "{length}");
        }
    }

    #[test]
    fn answers() {
        let expected =
            "00000020 4e50414d 07000000 07000000 0100ff00 00000000 00000000 00000000 220000c0";
        let reply = reply(ACCESS_DENIED);
        let words = reply.chunks(4).map(|word| word.iter().map(|b| format!("{b:02x}")).collect());
        assert_eq!(words.collect::<Vec<String>>().join(" "), expected);
    }
}
