use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

const PATIENCE: Patience<'_> =
    Patience { limit: Duration::from_secs(30), until: None, cancel: None };

/// A connection, and its other end.
fn pair() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Connection::new(ours.into()), theirs)
}

fn described<T>(result: Result<T, Trouble>) -> Result<T, String> {
    result.map_err(|trouble| match trouble {
        Trouble::Lost(_) => "lost".to_owned(),
        Trouble::Garbage(what) => what,
        Trouble::Silent => "silent".to_owned(),
        Trouble::Cancelled => "cancelled".to_owned(),
    })
}

/// Reads an answer that comes in these pieces: status, body, and whether the connection can be used again.
fn read(pieces: &[&[u8]]) -> Result<(u16, Vec<u8>, bool), String> {
    let (mut connection, mut theirs) = pair();
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let writer = thread::spawn(move || {
        for piece in pieces {
            // Whoever has found rubbish reads no more.
            let _ = theirs.write_all(&piece);
        }
    });
    let result = (|| {
        let head = connection.head(PATIENCE)?;
        let mut body = Body::new(connection, &head, false)?;
        let bytes = body.read_all(100, PATIENCE)?;
        Ok((head.status, bytes, body.into_connection().is_some()))
    })();
    writer.join().unwrap();
    described(result)
}

#[track_caller]
fn check(answer: &str, expected: Result<(u16, &str, bool), &str>) {
    let expected = expected
        .map(|(status, body, again)| (status, body.as_bytes().to_vec(), again))
        .map_err(str::to_owned);
    assert_eq!(read(&[answer.as_bytes()]), expected);
    // However it is cut in pieces.
    let bytes: Vec<&[u8]> = answer.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes), expected, "byte by byte");
}

#[test]
fn bodies() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, "hello", true)));
    check("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "", true)));
    check("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Ok((304, "", true)));
    check("HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok((200, "until the end", false)));
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nTrailer: x\r\n\r\n",
        Ok((200, "hello!", true)),
    );
}

#[test]
fn connections_that_end_with_their_answer() {
    let answer = |version: &str, header: &str| {
        format!("HTTP/1.{version} 200 OK\r\nContent-Length: 2\r\n{header}\r\nok")
    };
    check(&answer("1", ""), Ok((200, "ok", true)));
    check(&answer("1", "Connection: keep-alive, Close\r\n"), Ok((200, "ok", false)));
    check(&answer("0", ""), Ok((200, "ok", false)));
}

#[test]
fn bodies_that_are_cut_short() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", Err("lost"));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Err("lost"));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Err("lost"));
    check("HTTP/1.1 200 OK\r\nContent-Le", Err("lost"));
    check("", Err("lost"));
}

#[test]
fn rubbish() {
    check("\r\nHTTP/1.1 200 OK\r\n\r\n", Err("it begins with an empty line"));
    check("SSH-2.0-OpenSSH_9.2\r\n\r\n", Err("it does not speak HTTP (invalid HTTP version)"));
    check("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Err("a content length of \"-1\""));
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        Err("an answer in the transfer coding \"gzip\""),
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}x\r\n"), Err("a chunk of length \"x\""));
    check(
        &format!("{chunked}10000000000000000\r\n"),
        Err("a chunk of length \"10000000000000000\""),
    );
    check(&format!("{chunked}1\r\nhello\r\n"), Err("a chunk longer than announced"));
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n".to_owned() + &"x".repeat(101);
    check(&long, Err("an answer of more than 100 bytes"));
    check(&format!("{chunked}{}", "0".repeat(5000)), Err("a chunk's line without end"));
    let trailers = format!("{chunked}0\r\n{}", "a: b\r\n".repeat(70));
    check(&trailers, Err("trailers without end"));
}

#[test]
fn a_head_without_end() {
    let (mut connection, mut theirs) = pair();
    let writer = thread::spawn(move || {
        let _ = theirs.write_all(b"HTTP/1.1 200 OK\r\n");
        // Until nobody reads any more.
        while theirs.write_all(b"X: y\r\n").is_ok() {}
    });
    let trouble = described(connection.head(PATIENCE).map(drop)).unwrap_err();
    drop(connection);
    writer.join().unwrap();
    // By its length or the number of its lines: as it comes.
    let known = ["a head without end", "it does not speak HTTP (too many headers)"];
    assert!(known.contains(&trouble.as_str()), "{trouble}");
}

#[test]
fn nothing_beyond_the_head_is_taken() {
    let (mut connection, mut theirs) = pair();
    theirs.write_all(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nraw").unwrap();
    drop(theirs);
    let head = connection.head(PATIENCE).unwrap();
    assert_eq!((head.status, head.header("upgrade")), (101, Some("tcp")));
    let mut rest = String::new();
    std::fs::File::from(connection.into_fd()).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "raw");
}

#[test]
fn what_drips_ends_too() {
    let (mut connection, mut theirs) = pair();
    theirs.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
    let writer = thread::spawn(move || while theirs.write_all(b"x").is_ok() {});
    let late = Patience { until: Some(Instant::now()), ..PATIENCE };
    assert_eq!(described(connection.head(late).map(drop)), Err("silent".to_owned()));
    drop(connection);
    writer.join().unwrap();
}

#[test]
fn what_pauses_is_read_on() {
    let (connection, mut theirs) = pair();
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n";
    let start = text.len() - 27;
    theirs.write_all(&text[..start]).unwrap();
    let mut connection = connection;
    let head = connection.head(PATIENCE).unwrap();
    let mut body = Body::new(connection, &head, false).unwrap();
    let impatient = Patience { limit: Duration::ZERO, ..PATIENCE };
    let mut all = Vec::new();
    for byte in &text[start..] {
        let mut bytes = [0; 16];
        match described(body.read(&mut bytes, impatient)) {
            Ok(n) => all.extend_from_slice(&bytes[..n]),
            Err(what) => assert_eq!(what, "silent"),
        }
        theirs.write_all(&[*byte]).unwrap();
    }
    all.extend(body.read_all(100, PATIENCE).unwrap());
    assert_eq!(String::from_utf8(all).unwrap(), "abcd");
}

#[test]
fn waits_end() {
    let (mut connection, theirs) = pair();
    let impatient = Patience { limit: Duration::ZERO, ..PATIENCE };
    assert_eq!(described(connection.head(impatient).map(drop)), Err("silent".to_owned()));
    let (cancel, mut canceller) = io::pipe().unwrap();
    canceller.write_all(b"x").unwrap();
    let cancelled = Patience { cancel: Some(cancel.as_fd()), ..PATIENCE };
    assert_eq!(described(connection.head(cancelled).map(drop)), Err("cancelled".to_owned()));
    drop(theirs);
    assert_eq!(described(connection.head(PATIENCE).map(drop)), Err("lost".to_owned()));
}

#[test]
fn idle_connections() {
    let (connection, mut theirs) = pair();
    assert!(connection.is_idle());
    theirs.write_all(b"unasked").unwrap();
    assert!(!connection.is_idle());
    let (connection, theirs) = pair();
    drop(theirs);
    assert!(!connection.is_idle());
}

#[test]
fn requests() {
    let headers = [("X-A".to_owned(), "b".to_owned())];
    let request = Request {
        method: "POST",
        target: "/v1.41/x?y=z",
        body: Some(b"{}"),
        headers: &headers,
        upgrade: true,
        chunked: false,
    };
    let expected = format!(
        "POST /v1.41/x?y=z HTTP/1.1\r\nHost: docker\r\nUser-Agent: thither/{}\r\nX-A: b\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(String::from_utf8(request.bytes()).unwrap(), expected);
    assert!(
        is_field_value("Basic abc=") && !is_field_value("a\r\nEvil: b") && !is_field_value("é")
    );
}
