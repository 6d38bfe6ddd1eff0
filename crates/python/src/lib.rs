//! A Python interpreter driven from afar, over any byte stream, with nothing to install there but Python.
//!
//! ```no_run
//! use thither_python::{Object, Python, locals};
//!
//! let py = Python::local("python3")?;
//! let os = py.import("os")?;
//! let pid: u32 = os.call_method0("getpid")?;
//! let n: i64 = py.eval("a + b", locals! { a: 1, b: 2 })?;
//! let list: Object = py.eval("[1, 2]", ())?;
//! list.call_method1::<()>("append", (3,))?;
//! # Ok::<(), thither_python::Error>(())
//! ```
//!
//! The verbs are PyO3's. The type that is asked for decides: a type of serde's is copied, an [`Object`] stays over there.

pub mod marshal;
mod frame;
mod channel;
mod connection;
mod call_options;
mod session;
mod host;
mod output;
mod start;
mod python;
mod request;
mod object;
mod ops;
mod iter;
mod names;
mod pending;
mod prompt;
mod files;
mod modules;
mod stream;
mod tunnel;
mod served;
mod callback;
mod error;

pub use call_options::Cancel;
pub use callback::{Callback, Raise};
pub use error::{Error, PyErr, Result};
pub use files::{Files, Going, Progress};
pub use host::{Host, Unknown};
pub use iter::Iter;
pub use marshal::{Complex, FsString, Limits, Value};
pub use names::{Locals, Names, Source};
pub use object::Object;
pub use output::{Output, Stream};
pub use pending::Pending;
pub use python::{Python, WeakPython};
pub use session::Info;
pub use start::{AGENT, Start, Unanswered, arguments};
pub use stream::RemoteStream;
pub use tunnel::{RemoteReader, RemoteWriter};
