//! The Engine API over one kind of connection: versions, calls, hijacked streams.
//!
//! <https://docs.docker.com/reference/api/engine/> describes the API; Podman serves the same on its own socket.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::answer::Pending;
use crate::call::Call;
use crate::dial::Dial;
use crate::error::{Error, Result};
use crate::http::{Body, Connection, Head, Patience, Request, Trouble};

/// The newest version of the API that we know.
const NEWEST: ApiVersion = ApiVersion(1, 47);
/// The oldest one: Docker 1.12 of 2016.
const OLDEST: ApiVersion = ApiVersion(1, 24);
/// The longest answer that is read into memory, in bytes.
pub(crate) const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// The longest complaint that is read, in bytes.
const MAX_COMPLAINT: usize = 64 * 1024;
/// How long an engine may take for an answer, unless told otherwise.
const LIMIT: Duration = Duration::from_secs(60);
/// How long it may take for the first one, which needs no work.
const FIRST_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection is waited for by who has given up.
const LATE: Duration = Duration::from_secs(1);

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u16, pub u16);

impl ApiVersion {
    /// Since then a terminal has its size from the start: `ConsoleSize` of exec and create.
    pub const CONSOLE_SIZE: ApiVersion = ApiVersion(1, 42);
    /// Since then one can wait for what is to come: `condition` of wait.
    pub const WAIT_CONDITION: ApiVersion = ApiVersion(1, 30);

    fn parse(text: &str) -> Option<ApiVersion> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(ApiVersion(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// An engine. Clones share what they know of it and one connection that is kept.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    dial: Dial,
    limit: Duration,
    headers: Vec<(String, String)>,
    version: OnceLock<ApiVersion>,
    idle: Mutex<Option<Connection>>,
}

impl Engine {
    /// The engine that this way leads to; `name` is its address for messages. Nothing is done before the first call.
    #[must_use]
    pub fn new(name: impl Into<String>, dial: Dial) -> Engine {
        Engine(Arc::new(Inner {
            name: name.into(),
            dial,
            limit: LIMIT,
            headers: Vec::new(),
            version: OnceLock::new(),
            idle: Mutex::new(None),
        }))
    }

    /// The same with another limit for each answer; for the first one it is at most ten seconds.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Engine {
        self.with(|inner| inner.limit = limit)
    }

    /// The same with headers of the user's, as `HttpHeaders` of Docker's settings. Those that HTTP does not allow are
    /// left out.
    #[must_use]
    pub fn headers(self, headers: impl IntoIterator<Item = (String, String)>) -> Engine {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        let headers = headers.into_iter();
        let allowed =
            headers.filter(|(name, value)| is_name(name) && crate::http::is_field_value(value));
        self.with(|inner| inner.headers = allowed.collect())
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Engine {
        let old = self.0;
        let mut inner = Inner {
            name: old.name.clone(),
            dial: old.dial.clone(),
            limit: old.limit,
            headers: old.headers.clone(),
            version: OnceLock::new(),
            idle: Mutex::new(None),
        };
        change(&mut inner);
        Engine(Arc::new(inner))
    }

    /// Its address for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How long an answer may take.
    pub(crate) fn patience<'a>(&self, cancel: Option<BorrowedFd<'a>>) -> Patience<'a> {
        Patience::for_answer(self.0.limit, cancel)
    }

    pub(crate) fn patience_with<'a>(&self, call: &Call<'a>) -> Patience<'a> {
        let limit = call.limit.map_or(self.0.limit, |limit| limit.min(self.0.limit));
        Patience::for_answer(limit, call.cancel)
    }

    /// The version of the API that we speak with it: the lower one of its newest and ours.
    ///
    /// # Errors
    /// When it cannot be asked, or is too old.
    pub fn version(&self) -> Result<ApiVersion> {
        self.version_or(None)
    }

    pub(crate) fn version_or(&self, cancel: Option<BorrowedFd<'_>>) -> Result<ApiVersion> {
        if let Some(version) = self.0.version.get() {
            return Ok(*version);
        }
        let patience = Patience::for_answer(self.0.limit.min(FIRST_LIMIT), cancel);
        let request = Request { method: "GET", target: "/_ping", ..NOTHING };
        let (head, mut body) = self.exchange(&request, patience)?;
        let theirs = head.header("api-version").map(str::to_owned);
        let ping = body.read_all(MAX_COMPLAINT, patience).map_err(|t| self.error(t, patience))?;
        self.keep(body);
        if head.status != 200 {
            return Err(self.refused(head.status, &ping));
        }
        let version = match &theirs {
            // Before 1.25 the answer does not say it.
            None if ping.trim_ascii() == b"OK" => OLDEST,
            None => return Err(self.garbage("it answers a ping by something else")),
            Some(text) => ApiVersion::parse(text)
                .ok_or_else(|| self.garbage(format!("its API version is {text:?}")))?,
        };
        if version < OLDEST {
            let theirs = version.to_string();
            return Err(Error::Version { engine: self.0.name.clone(), theirs, ours: "1.24" });
        }
        tracing::debug!(engine = %self.0.name, api = %version, "engine");
        Ok(*self.0.version.get_or_init(|| version.min(NEWEST)))
    }

    /// A call with an answer in JSON.
    pub(crate) fn call<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T> {
        let bytes = self.bytes(call)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.garbage(format!("an answer that is not as documented: {error}")))
    }

    /// A call whose answer does not matter.
    pub(crate) fn order(&self, call: &Call<'_>) -> Result<()> {
        self.bytes(call).map(drop)
    }

    fn bytes(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        let patience = self.patience_with(call);
        let (_, mut body) = self.stream(call)?;
        let bytes = body.read_all(MAX_ANSWER, patience).map_err(|t| self.error(t, patience))?;
        self.keep(body);
        Ok(bytes)
    }

    /// A call whose answer comes bit by bit.
    pub(crate) fn stream(&self, call: &Call<'_>) -> Result<(Head, Body)> {
        let target = self.target(call)?;
        let headers = self.all_headers(call);
        let request = request(call, &target, &headers);
        let patience = self.patience_with(call);
        let (head, mut body) = self.exchange(&request, patience)?;
        self.check(&head, &mut body, patience)?;
        Ok((head, body))
    }

    /// A call that is sent now, and answered when its descriptor is readable.
    pub(crate) fn begin(&self, call: &Call<'_>) -> Result<Pending> {
        let target = self.target(call)?;
        let headers = self.all_headers(call);
        let request = request(call, &target, &headers);
        let patience = self.patience_with(call);
        let mut connection = self.dial(patience)?;
        connection.send(&request, patience).map_err(|t| self.error(t, patience))?;
        Ok(Pending { engine: self.clone(), connection })
    }

    pub(crate) fn complaint(
        &self,
        connection: Connection,
        head: &Head,
        patience: Patience<'_>,
    ) -> Error {
        let text = Body::new(connection, head, false)
            .and_then(|mut body| body.read_all(MAX_COMPLAINT, patience));
        self.refused(head.status, &text.unwrap_or_default())
    }

    /// A call that is answered by the connection itself, as raw bytes in both directions.
    pub(crate) fn hijack(&self, call: &Call<'_>) -> Result<OwnedFd> {
        self.hijack_or_late(call).map_err(|(error, _)| error)
    }

    /// The same. Who gives up still gets the connection, if it comes within a moment: what was asked for may have begun.
    pub(crate) fn hijack_or_late(
        &self,
        call: &Call<'_>,
    ) -> Result<OwnedFd, (Error, Option<OwnedFd>)> {
        let early = |error| (error, None);
        let target = self.target(call).map_err(early)?;
        let headers = self.all_headers(call);
        let request = Request { upgrade: true, ..request(call, &target, &headers) };
        let patience = self.patience_with(call);
        let mut connection = self.dial(patience).map_err(early)?;
        let failed = |trouble| early(self.error(trouble, patience));
        connection.send(&request, patience).map_err(failed)?;
        let (head, given_up) = match connection.head(patience) {
            Err(Trouble::Cancelled) => {
                let late = Patience::for_answer(LATE, None);
                (connection.head(late).map_err(|_| early(Error::Cancelled))?, true)
            }
            head => (head.map_err(failed)?, false),
        };
        match head.status {
            // Old engines answer 200 and hand the connection over all the same.
            101 | 200 if given_up => Err((Error::Cancelled, Some(connection.into_fd()))),
            101 | 200 => Ok(connection.into_fd()),
            _ => Err(early(self.complaint(connection, &head, patience))),
        }
    }

    pub(crate) fn target(&self, call: &Call<'_>) -> Result<String> {
        let version = self.version_or(call.cancel)?;
        Ok(format!("/v{version}{}", call.target))
    }

    pub(crate) fn all_headers(&self, call: &Call<'_>) -> Vec<(String, String)> {
        self.0.headers.iter().chain(&call.headers).cloned().collect()
    }

    pub(crate) fn dial(&self, patience: Patience<'_>) -> Result<Connection> {
        let limit = patience.limit.min(FIRST_LIMIT);
        match self.0.dial.open(limit, patience.cancel) {
            Ok(fd) => Ok(Connection::new(fd)),
            Err(error) => Err(crate::dial::failed(&self.0.name, error)),
        }
    }

    /// Sends a request, on the kept connection if there is one, and reads the head of its answer.
    fn exchange(&self, request: &Request<'_>, patience: Patience<'_>) -> Result<(Head, Body)> {
        let kept = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failed = |trouble| self.error(trouble, patience);
        let asked = kept.filter(Connection::is_idle).map(|mut connection| {
            connection.send(request, patience)?;
            Ok((connection.head(patience)?, connection))
        });
        let (head, connection) = match asked {
            Some(Ok(answered)) => answered,
            // It was closed just when we asked: what changes nothing is asked again (RFC 9112 section 9.3.1).
            Some(Err(trouble))
                if !matches!((&trouble, request.method), (Trouble::Lost(_), "GET" | "HEAD")) =>
            {
                return Err(failed(trouble));
            }
            _ => {
                let mut connection = self.dial(patience)?;
                connection.send(request, patience).map_err(failed)?;
                (connection.head(patience).map_err(failed)?, connection)
            }
        };
        let body = Body::new(connection, &head, request.method == "HEAD").map_err(failed)?;
        Ok((head, body))
    }

    pub(crate) fn keep(&self, body: Body) {
        if let Some(connection) = body.into_connection() {
            *self.0.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
    }

    pub(crate) fn check(&self, head: &Head, body: &mut Body, patience: Patience<'_>) -> Result<()> {
        match head.status {
            200..=299 | 304 => Ok(()),
            status => {
                // The status says enough when the complaint cannot be read.
                let text = body.read_all(MAX_COMPLAINT, patience).unwrap_or_default();
                Err(self.refused(status, &text))
            }
        }
    }

    fn refused(&self, status: u16, body: &[u8]) -> Error {
        #[derive(serde::Deserialize)]
        struct Complaint {
            message: String,
        }
        let message = match serde_json::from_slice::<Complaint>(body) {
            Ok(complaint) => complaint.message,
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let line = text.lines().next().unwrap_or_default().trim();
                let line: String = line.chars().take(200).collect();
                match line.is_empty() {
                    true => format!("HTTP status {status}"),
                    false => format!("{line} (HTTP status {status})"),
                }
            }
        };
        Error::Refused { status, message: message.trim().to_owned() }
    }

    pub(crate) fn garbage(&self, what: impl Into<String>) -> Error {
        Error::Garbage { engine: self.0.name.clone(), what: what.into() }
    }

    pub(crate) fn lost(&self) -> Error {
        Error::Lost { engine: self.0.name.clone(), source: None }
    }

    pub(crate) fn error(&self, trouble: Trouble, patience: Patience<'_>) -> Error {
        let engine = self.0.name.clone();
        match trouble {
            Trouble::Lost(source) => Error::Lost { engine, source },
            Trouble::Garbage(what) => Error::Garbage { engine, what },
            Trouble::Silent => Error::Silent { engine, limit: patience.limit },
            Trouble::Cancelled => Error::Cancelled,
        }
    }
}

/// A call as it is sent.
fn request<'a>(
    call: &'a Call<'_>,
    target: &'a str,
    headers: &'a [(String, String)],
) -> Request<'a> {
    Request { method: call.method, target, body: call.body.as_deref(), headers, ..NOTHING }
}

const NOTHING: Request<'_> = Request {
    method: "GET",
    target: "/",
    body: None,
    headers: &[],
    upgrade: false,
    chunked: false,
};
