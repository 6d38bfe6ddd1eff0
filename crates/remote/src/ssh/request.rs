//! What a server is asked to run.

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The line for the user's login shell; `None` is the login shell itself.
    pub(crate) line: Option<Vec<u8>>,
    /// What goes into its input before anything else.
    pub(crate) preface: Vec<u8>,
    /// What stands in the command line of the process that leads its process group; empty if nothing does.
    pub(crate) token: String,
}
