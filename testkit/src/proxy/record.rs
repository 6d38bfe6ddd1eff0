//! What a client has sent, as requests.

/// Splits it into requests: a head, and a body of its `Content-Length`, or all that follows where the connection is to
/// be upgraded or the body is chunked. What is no request is returned as it is.
pub(super) fn requests(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !sent.is_empty() {
        let (request, rest) = sent.split_at(length(sent).min(sent.len()));
        found.push(request.to_vec());
        sent = rest;
    }
    found
}

/// The length of the first request; more than is there if it is not whole or has no known end.
fn length(sent: &[u8]) -> usize {
    let Some(end) = sent.windows(4).position(|four| four == b"\r\n\r\n") else { return usize::MAX };
    let head = String::from_utf8_lossy(&sent[..end]);
    let field = |wanted: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.next().map(|(_, value)| value.trim())
    };
    if field("upgrade").is_some() || field("transfer-encoding").is_some() {
        return usize::MAX;
    }
    let body = field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    (end + 4).saturating_add(body)
}

#[cfg(test)]
mod tests {
    use super::requests;

    #[track_caller]
    fn check(sent: &[&str]) {
        let found = requests(sent.concat().as_bytes());
        let found: Vec<_> = found.into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
        assert_eq!(found, sent);
    }

    #[test]
    fn they_are_split() {
        let ping = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
        let create = "POST /create HTTP/1.1\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        let attach =
            "POST /attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\ntyped\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        check(&[]);
        check(&[ping, create, ping, attach]);
        check(&[ping, "GET /_pi"]);
        check(&["PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"]);
        check(&["PUT / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nab"]);
        check(&["\0\u{1}garbage"]);
    }
}
