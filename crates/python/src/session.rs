//! What every handle of an interpreter holds; the last one ends it.

use std::sync::Arc;

use crate::connection::Connection;
use crate::files::Files;

/// Who the interpreter is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// `sys.version`.
    pub version: String,
    /// Major, minor, micro.
    pub version_info: (u32, u32, u32),
    /// Its process, as it sees itself.
    pub pid: u32,
    /// `sys.platform`.
    pub platform: String,
    /// `sys.executable`.
    pub executable: String,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Arc<Connection>,
    pub(crate) info: Info,
    /// A way of the place's own for files.
    pub(crate) files: Option<Arc<dyn Files>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.close();
    }
}
