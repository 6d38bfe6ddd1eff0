//! What an interactive prompt needs.

use std::sync::Arc;

use crate::callback::{Callback, Raise};
use crate::connection::Patience;
use crate::frame::{Header, kind};
use crate::{Error, Python, Result};

impl Python {
    /// Runs what was typed at a prompt, as the interactive interpreter does: the values of expressions are printed. `true`
    /// when it is not complete and nothing was run; an empty line at the end completes a block.
    ///
    /// # Errors
    /// As every call: `SyntaxError`, `SystemExit`, what the code raises.
    pub fn interact(&self, source: &str) -> Result<bool> {
        self.agent().call_method1("interact", (source,))
    }

    /// What the name at the end of a line may become: at most a thousand, as `rlcompleter` finds them over there.
    ///
    /// # Errors
    /// As every call.
    pub fn complete(&self, name: &str) -> Result<Vec<String>> {
        self.agent().call_method1("complete", (name,))
    }

    /// Interrupts what runs on the main thread over there, as ^C does: `KeyboardInterrupt`. Whoever waits for it goes on
    /// waiting.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn interrupt(&self) -> Result<()> {
        let header = Header { kind: kind::CANCEL, ..Header::default() };
        self.session.connection.send(header, &[], &[], Patience::None)
    }

    /// Lets Python code over there (`input()`, `sys.stdin`) read from a function of this program: it is given the most that
    /// is wanted, in bytes, and gives some, or none at the end.
    ///
    /// # Errors
    /// As every call.
    pub fn input_from<F>(&self, read: F) -> Result<()>
    where
        F: Fn(usize) -> Result<Vec<u8>, Raise> + Send + Sync + 'static,
    {
        let read: Callback =
            self.callback(move |(most,): (usize,)| read(most).map(serde_bytes::ByteBuf::from));
        self.agent().call_method1("input_from", (read,))
    }

    /// Whether it is gone, and how.
    #[must_use]
    pub fn ended(&self) -> Option<Error> {
        Arc::clone(&self.session.connection).ended()
    }
}
