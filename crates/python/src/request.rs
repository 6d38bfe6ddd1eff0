//! Calls as they are sent, and replies as they are read.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call_options::CallOptions;
use crate::channel::Frame;
use crate::connection::references;
use crate::frame::kind;
use crate::marshal::{Decoder, Encoded, Limits, Value, Want};
use crate::object::with_session;
use crate::session::Session;
use crate::{Error, PyErr, Result};

/// Of a call that has none.
pub(crate) const NO_ARGS: () = ();

/// What the type wants, as the flags of a call.
pub(crate) fn want<T: DeserializeOwned>() -> u8 {
    match crate::marshal::want::<T>() {
        Want::Value => 0,
        Want::Object => 1,
        Want::Option => 2,
        Want::Nothing => 3,
    }
}

/// The first parts of a call: what it is asked of, and what is asked. Arguments, keyword arguments and references follow.
pub(crate) fn head(root: u32, path: &[String], op: &str) -> Encoded {
    let mut call = Encoded::default();
    call.bytes.reserve(64);
    call.tuple(6);
    call.int(root.into());
    match path {
        // As most calls of a method are: it need not be taken apart there.
        [name] if root > 0 => call.str(name),
        path => {
            call.tuple(u32::try_from(path.len()).unwrap_or(u32::MAX));
            for name in path {
                call.str(name);
            }
        }
    }
    call.str(op);
    call
}

/// Positional arguments: a tuple; `()` is one without items.
pub(crate) fn args(call: &mut Encoded, args: &(impl Serialize + ?Sized), owner: u64) -> Result<()> {
    let before = call.bytes.len();
    call.value(args, owner)?;
    if call.bytes[before..] == *b"N" {
        call.bytes.truncate(before);
        call.tuple(0);
    }
    Ok(())
}

/// The names of a dotted path.
pub(crate) fn names_of(path: &str) -> Result<Vec<String>> {
    let names: Vec<String> = path.split('.').map(String::from).collect();
    match names.iter().any(String::is_empty) {
        true => Err(Error::Python(Box::new(PyErr {
            kind: "AttributeError".into(),
            mro: ["AttributeError", "Exception", "BaseException", "object"]
                .map(String::from)
                .into(),
            args: Vec::new(),
            message: format!("{path:?} has no name between two dots"),
            traceback: String::new(),
        }))),
        false => Ok(names),
    }
}

/// Reads a reply.
pub(crate) fn read<T: DeserializeOwned>(
    session: &Arc<Session>,
    options: &CallOptions,
    frame: Frame,
) -> Result<T> {
    read_by(session, options, frame, |decoder| Ok(decoder.value()?))
}

/// Reads a reply by hand.
pub(crate) fn read_by<T>(
    session: &Arc<Session>,
    options: &CallOptions,
    frame: Frame,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T>,
) -> Result<T> {
    let limits = &session.connection.limits;
    if frame.header.kind == kind::ERROR {
        return Err(exception(&frame.payload, limits)?);
    }
    if frame.header.kind == kind::TOO_LARGE {
        let most = frame.payload.try_into().map_or(0, u64::from_le_bytes);
        return Err(Error::TooLarge { most });
    }
    let refs = references(&frame.payload, limits)?;
    let mut raws: Vec<Option<Vec<u8>>> = frame.raws.into_iter().map(Some).collect();
    with_session(session, options, &refs, || {
        let mut decoder = Decoder::with(&frame.payload, limits, &refs, &mut raws);
        decoder.tuple()?;
        read(&mut decoder)
    })
}

fn exception(payload: &[u8], limits: &Limits) -> Result<Error> {
    let mut decoder = Decoder::new(payload, limits);
    decoder.tuple()?;
    let (kind, mro, args, message, traceback): (Lossy, Vec<Lossy>, Vec<Value>, Lossy, Lossy) =
        decoder.value()?;
    let mro = mro.into_iter().map(|name| name.0).collect();
    let (kind, message, traceback) = (kind.0, message.0, traceback.0);
    Ok(Error::Python(Box::new(PyErr { kind, mro, args, message, traceback })))
}

/// A text whose surrogates are replaced: an exception is shown whatever is in it.
struct Lossy(String);

impl<'de> serde::Deserialize<'de> for Lossy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Lossy, D::Error> {
        let text = crate::marshal::FsString::deserialize(deserializer)?;
        Ok(Lossy(text.0.to_string_lossy().into_owned()))
    }
}
