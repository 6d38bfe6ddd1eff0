//! A call of the Engine API, as it is asked.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde::Serialize;

/// A call of the API.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    /// Path and query without the version.
    pub(crate) target: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) limit: Option<Duration>,
    pub(crate) cancel: Option<BorrowedFd<'a>>,
}

impl<'a> Call<'a> {
    fn new(method: &'static str, path: impl Into<String>) -> Call<'a> {
        Call {
            method,
            target: path.into(),
            body: None,
            headers: Vec::new(),
            limit: None,
            cancel: None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Call<'a> {
        Call::new("GET", path)
    }

    pub(crate) fn head(path: impl Into<String>) -> Call<'a> {
        Call::new("HEAD", path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Call<'a> {
        Call::new("POST", path)
    }

    pub(crate) fn put(path: impl Into<String>) -> Call<'a> {
        Call::new("PUT", path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Call<'a> {
        Call::new("DELETE", path)
    }

    /// Adds a parameter to the query, its value percent-encoded.
    pub(crate) fn query(mut self, name: &str, value: impl AsRef<[u8]>) -> Call<'a> {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target += &format!("{name}={}", encoded(value));
        self
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Call<'a> {
        // What we send are maps with keys of text, so it cannot fail.
        self.body = serde_json::to_vec(body).ok();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Call<'a> {
        if crate::http::is_field_value(value) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Gives up after less time than is usual.
    pub(crate) fn limit(mut self, limit: Duration) -> Call<'a> {
        self.limit = Some(limit);
        self
    }

    /// Gives up once this is readable.
    pub(crate) fn cancel(mut self, cancel: Option<BorrowedFd<'a>>) -> Call<'a> {
        self.cancel = cancel;
        self
    }
}

/// Percent-encoded but for what RFC 3986 section 2.3 reserves for nothing.
pub(crate) fn encoded(text: impl AsRef<[u8]>) -> String {
    let mut result = String::new();
    for &byte in text.as_ref() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => result.push(char::from(byte)),
            false => result += &format!("%{byte:02X}"),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_encoded() {
        let call = Call::get("/x").query("a", "b c&d=é/").query("e", [0xff]);
        assert_eq!(call.target, "/x?a=b%20c%26d%3D%C3%A9%2F&e=%FF");
        assert_eq!(encoded("../x?y#z"), "..%2Fx%3Fy%23z");
    }

    #[test]
    fn a_header_that_would_end_its_line_is_left_out() {
        let call = Call::get("/").header("A", "b").header("C", "d\r\nE: f");
        assert_eq!(call.headers, [("A".to_owned(), "b".to_owned())]);
    }
}
