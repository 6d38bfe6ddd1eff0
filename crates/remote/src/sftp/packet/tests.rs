use super::*;

#[track_caller]
fn check_written(request: Request, expected: &[u8]) {
    let mut bytes = Vec::new();
    request.write(7, &mut bytes);
    let length = u32::try_from(expected.len() + 5).unwrap().to_be_bytes();
    assert_eq!(bytes[..4], length, "{request:?}");
    assert_eq!(bytes[5..9], [0, 0, 0, 7], "{request:?}");
    assert_eq!(bytes[9..].escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn requests() {
    let path = || b"a\xff".to_vec();
    check_written(Request::LStat(path()), b"\0\0\0\x02a\xff");
    check_written(Request::Open(path()), b"\0\0\0\x02a\xff\0\0\0\x01\0\0\0\0");
    check_written(
        Request::Create(path(), 0o600),
        b"\0\0\0\x02a\xff\0\0\0\x2a\0\0\0\x04\0\0\x01\x80",
    );
    let read = Request::Read { handle: b"h".to_vec(), offset: 1 << 32, length: 9 };
    check_written(read, b"\0\0\0\x01h\0\0\0\x01\0\0\0\0\0\0\0\x09");
    let attributes = Attributes { size: None, permissions: Some(1), modified: Some(2) };
    let written = b"\0\0\0\x01h\0\0\0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x02";
    check_written(Request::FSetStat(b"h".to_vec(), attributes), written);
    let symlink = Request::Symlink(b"text".to_vec(), b"path".to_vec());
    check_written(symlink, b"\0\0\0\x04text\0\0\0\x04path");
    let rename = Request::PosixRename(b"a".to_vec(), b"b".to_vec());
    check_written(rename, b"\0\0\0\x18posix-rename@openssh.com\0\0\0\x01a\0\0\0\x01b");
}

/// What a packet is that answers request 7, or why it is none.
#[track_caller]
fn check(kind: u8, body: &[u8], expected: Result<Option<Reply>, Malformed>) {
    let packet = [&[kind, 0, 0, 0, 7], body].concat();
    let found = read_reply(&packet).map(|found| {
        found.map(|(id, reply)| {
            assert_eq!(id, 7);
            reply
        })
    });
    assert_eq!(found, expected);
}

#[test]
fn replies() {
    let status = |code, message: &str| Ok(Some(Reply::Status { code, message: message.into() }));
    check(STATUS, b"\0\0\0\x04\0\0\0\x02No\0\0\0\0", status(4, "No"));
    check(STATUS, b"\0\0\0\x04", status(4, ""));
    check(STATUS, b"\0\0\0\x04\xff\xff\xff\xffNo", status(4, ""));
    check(STATUS, b"\0\0\0", Err(Malformed));
    check(HANDLE, b"\0\0\0\x01h", Ok(Some(Reply::Handle(b"h".to_vec()))));
    check(HANDLE, b"\0\0\0\x02h", Err(Malformed));
    check(HANDLE, &[&[0, 0, 1, 1][..], &[0; 257]].concat(), Err(Malformed));
    check(DATA, b"\xff\xff\xff\xff", Err(Malformed));
    check(NAME, b"\0\0\0\0", Ok(Some(Reply::Names(vec![]))));
    check(NAME, b"\xff\xff\xff\xff", Err(Malformed));
    check(99, b"", Ok(None));
    assert_eq!(read_reply(b""), Err(Malformed));
    assert_eq!(read_reply(&[STATUS, 0]), Err(Malformed));
}

#[test]
fn attributes() {
    let check_attributes = |body: &[u8], expected: Result<Attributes, Malformed>| {
        check(ATTRS, body, expected.map(|it| Some(Reply::Attributes(it))));
    };
    check_attributes(b"\0\0\0\0", Ok(Attributes::default()));
    let all = b"\x80\0\0\x0f\0\0\0\0\0\0\0\x05uid_gid_\0\0\x81\xa4atim\0\0\0\x09\0\0\0\x01\0\0\0\x01k\0\0\0\0";
    let known = Attributes { size: Some(5), permissions: Some(0o100644), modified: Some(9) };
    check_attributes(all, Ok(known));
    for length in 4..all.len() {
        check_attributes(&all[..length], Err(Malformed));
    }
    check_attributes(b"\x80\0\0\0\xff\xff\xff\xff", Err(Malformed));
    let names = b"\0\0\0\x01\0\0\0\x02a\xff\0\0\0\x04long\0\0\0\x01\0\0\0\0\0\0\0\x05";
    let size = Attributes { size: Some(5), ..Attributes::default() };
    check(NAME, names, Ok(Some(Reply::Names(vec![(b"a\xff".to_vec(), size)]))));
}

#[test]
fn versions() {
    let packet = b"\x02\0\0\0\x03\0\0\0\x01a\0\0\0\x011\0\0\0\x01b\0\0\0";
    assert_eq!(read_version(packet), Some((3, vec![b"a".to_vec()])));
    assert_eq!(read_version(b"\x02\0\0\0\x06"), Some((6, vec![])));
    assert_eq!(read_version(b"\x02\0\0"), None);
    assert_eq!(read_version(b"\x65\0\0\0\x03"), None);
}
