//! The codec against the real thing, against itself, and against enemies.

mod hostile;
mod properties;
mod python;
mod references;
mod types;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DecodeError, Decoder, EncodeError, Encoded, Limits};

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut encoded = Encoded::default();
    encoded.value(value, 0)?;
    assert!(encoded.refs.is_empty() && encoded.raws.is_empty());
    Ok(encoded.bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes, &Limits::default());
    let value = decoder.value()?;
    decoder.end()?;
    Ok(value)
}
