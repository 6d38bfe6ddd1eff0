//! What is said in the larger frames. Strings are bytes, as the other side's system has them.

use super::frame::Malformed;

/// What a client wants of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To run a program.
    Spawn(Spawn),
    /// A stream to a TCP port over there: its input goes there, and what comes is its output.
    Tcp {
        /// A name or an address.
        host: Vec<u8>,
        /// The port.
        port: u16,
    },
    /// The same to a Unix socket.
    Unix {
        /// Its path.
        path: Vec<u8>,
    },
    /// A stream to the interpreter that all share.
    Python,
    /// To be known from now on, for this one-time token.
    Pair {
        /// The token.
        token: [u8; 16],
        /// How the server's owner shall know us.
        name: Vec<u8>,
    },
}

/// A program to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spawn {
    /// Which.
    pub program: Program,
    /// Its arguments, without its name.
    pub args: Vec<Vec<u8>>,
    /// Start from an empty environment.
    pub env_clear: bool,
    /// Variables to set, or with `None` to remove, in order.
    pub env: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Its directory.
    pub dir: Option<Vec<u8>>,
    /// Its user, optionally `user:group`.
    pub user: Option<Vec<u8>>,
    /// Its streams.
    pub streams: Streams,
}

/// Which program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// A path if it has a slash, else a name to look up.
    Named(Vec<u8>),
    /// The user's login shell.
    LoginShell,
    /// What the place runs by itself.
    #[default]
    Default,
}

/// What becomes of a program's descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Streams {
    /// For descriptors 0, 1 and 2 whether they are joined to the connection; else they are as `/dev/null`.
    Separate([bool; 3]),
    /// A terminal.
    Terminal {
        /// Columns and rows.
        size: (u16, u16),
        /// The value of `TERM`.
        term: Option<Vec<u8>>,
    },
}

impl Default for Streams {
    fn default() -> Streams {
        Streams::Separate([true; 3])
    }
}

/// Why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason it is.
    pub reason: Reason,
    /// The number of the system's error, as Linux has them, or 0.
    pub errno: u32,
    /// What was tried, or what is not allowed, for people.
    pub text: String,
    /// What may cure it; empty for nothing.
    pub hint: String,
}

/// See [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The program cannot be executed, for `errno`.
    Spawn = 1,
    /// `text` failed, with the system's error `errno` or, without one, the cause in `text`.
    Failed = 2,
    /// `text` is something that is not done here.
    Unsupported = 3,
    /// The client may not, or not now.
    Denied = 4,
}

/// What one can say of a system's own text, in bytes: the rest is cut.
const LONGEST_TEXT: usize = 4096;

impl Request {
    /// The body of its frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        match self {
            Request::Spawn(spawn) => {
                out.byte(1);
                spawn.encode(&mut out);
            }
            Request::Tcp { host, port } => {
                out.byte(2);
                out.text(host);
                out.short(*port);
            }
            Request::Unix { path } => {
                out.byte(3);
                out.text(path);
            }
            Request::Python => out.byte(4),
            Request::Pair { token, name } => {
                out.byte(5);
                out.0.extend_from_slice(token);
                out.text(name);
            }
        }
        out.0
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is none, or more follows.
    pub fn decode(body: &[u8]) -> Result<Request, Malformed> {
        let mut fields = Reader(body);
        let request = match fields.byte()? {
            1 => Request::Spawn(Spawn::decode(&mut fields)?),
            2 => Request::Tcp { host: fields.text()?, port: fields.short()? },
            3 => Request::Unix { path: fields.text()? },
            4 => Request::Python,
            5 => Request::Pair { token: fields.chunk()?, name: fields.text()? },
            _ => return Err(Malformed("nobody knows this request")),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Spawn {
    fn encode(&self, out: &mut Writer) {
        match &self.program {
            Program::Named(name) => {
                out.byte(0);
                out.text(name);
            }
            Program::LoginShell => out.byte(1),
            Program::Default => out.byte(2),
        }
        out.number(self.args.len() as u32);
        self.args.iter().for_each(|arg| out.text(arg));
        out.byte(u8::from(self.env_clear));
        out.number(self.env.len() as u32);
        for (name, value) in &self.env {
            out.text(name);
            out.option(value.as_deref());
        }
        out.option(self.dir.as_deref());
        out.option(self.user.as_deref());
        match &self.streams {
            Streams::Separate(joined) => {
                out.byte(0);
                joined.iter().for_each(|&joined| out.byte(u8::from(joined)));
            }
            Streams::Terminal { size, term } => {
                out.byte(1);
                out.short(size.0);
                out.short(size.1);
                out.option(term.as_deref());
            }
        }
    }

    fn decode(fields: &mut Reader<'_>) -> Result<Spawn, Malformed> {
        let program = match fields.byte()? {
            0 => Program::Named(fields.text()?),
            1 => Program::LoginShell,
            2 => Program::Default,
            _ => return Err(Malformed("nobody knows this program")),
        };
        Ok(Spawn {
            program,
            args: fields.list(Reader::text)?,
            env_clear: fields.flag()?,
            env: fields.list(|fields| Ok((fields.text()?, fields.option()?)))?,
            dir: fields.option()?,
            user: fields.option()?,
            streams: match fields.byte()? {
                0 => Streams::Separate([fields.flag()?, fields.flag()?, fields.flag()?]),
                1 => {
                    let size = (fields.short()?, fields.short()?);
                    Streams::Terminal { size, term: fields.option()? }
                }
                _ => return Err(Malformed("nobody knows these streams")),
            },
        })
    }
}

impl Refusal {
    /// The body of its frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.byte(self.reason as u8);
        out.number(self.errno);
        for text in [&self.text, &self.hint] {
            out.text(&text.as_bytes()[..text.floor_char_boundary(LONGEST_TEXT)]);
        }
        out.0
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is none, or more follows.
    pub fn decode(body: &[u8]) -> Result<Refusal, Malformed> {
        let mut fields = Reader(body);
        let reason = match fields.byte()? {
            1 => Reason::Spawn,
            2 => Reason::Failed,
            3 => Reason::Unsupported,
            4 => Reason::Denied,
            _ => return Err(Malformed("nobody knows this reason")),
        };
        let errno = fields.number()?;
        let mut text = || Ok(String::from_utf8_lossy(&fields.text()?).into_owned());
        let (text, hint) = (text()?, text()?);
        fields.end()?;
        Ok(Refusal { reason, errno, text, hint })
    }
}

/// Fields that are written.
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn short(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u32);
        self.0.extend_from_slice(text);
    }

    fn option(&mut self, text: Option<&[u8]>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
}

/// Fields that are left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.chunk()?))
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("it has no such flag")),
        }
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.chunk()?))
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.chunk()?))
    }

    fn text(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(text.to_vec())
    }

    fn option(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        self.flag()?.then(|| self.text()).transpose()
    }

    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.number()?;
        // As many as there are bytes for: the count alone makes no room.
        (0..count).map(|_| item(self)).collect()
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("more follows")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn() -> Spawn {
        Spawn {
            program: Program::Named(b"a\xff".into()),
            args: vec![b"-x".into(), Vec::new()],
            env_clear: true,
            env: vec![(b"A".into(), Some(b"1\n".into())), (b"B".into(), None)],
            dir: Some(b"/tmp".into()),
            user: Some(b"me:us".into()),
            streams: Streams::Terminal { size: (80, 24), term: Some(b"xterm".into()) },
        }
    }

    #[track_caller]
    fn check(request: Request) {
        let body = request.encode();
        assert_eq!(Request::decode(&body).as_ref(), Ok(&request));
        assert!(Request::decode(&[&body[..], b"x"].concat()).is_err(), "more follows");
        for end in 0..body.len() {
            assert!(Request::decode(&body[..end]).is_err(), "{end} of {body:?}");
        }
    }

    #[test]
    fn requests() {
        check(Request::Spawn(spawn()));
        check(Request::Spawn(Spawn::default()));
        let streams = Streams::Separate([false, true, false]);
        let program = Program::LoginShell;
        check(Request::Spawn(Spawn { program, streams, ..Spawn::default() }));
        check(Request::Tcp { host: b"::1".into(), port: 65535 });
        check(Request::Unix { path: b"/run/x".into() });
        check(Request::Python);
        check(Request::Pair { token: [7; 16], name: b"me@here".into() });
    }

    #[test]
    fn counts_are_not_believed() {
        let mut body = vec![1, 2];
        body.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(Request::decode(&body).is_err());
        for body in [&[][..], &[0], &[6], &[1, 3], &[1, 0, 0xff, 0xff, 0xff, 0xff]] {
            assert!(Request::decode(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn refusals() {
        let refusal = Refusal {
            reason: Reason::Spawn,
            errno: 2,
            text: "x".into(),
            hint: "install it".into(),
        };
        assert_eq!(Refusal::decode(&refusal.encode()).as_ref(), Ok(&refusal));
        let long = Refusal { text: "ü".repeat(10_000), ..refusal };
        let read = Refusal::decode(&long.encode()).unwrap();
        assert_eq!(read.text, "ü".repeat(LONGEST_TEXT / 2));
        assert!(Refusal::decode(&[]).is_err());
    }
}
