//! Variables of an evaluation.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::marshal::{Decoder, EncodeError, Encoded, Value, Want, want};
use crate::object::{only_one, staying_here};
use crate::{Error, Object, PyErr, Result};

type Encode<'a> = dyn Fn(&mut Encoded, u64) -> Result<(), EncodeError> + Send + Sync + 'a;

/// Names and their values, in order: variables of an evaluation, or keyword arguments. See [`locals!`](crate::locals).
#[derive(Default)]
pub struct Locals<'a> {
    variables: Vec<(String, Variable<'a>)>,
}

enum Variable<'a> {
    Given(Box<Encode<'a>>),
    Value(Value),
    Object(Object),
}

/// Names and values of any types that serde knows: `locals! { a: 1, b: "text" }`.
#[macro_export]
macro_rules! locals {
    ($($name:ident: $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "without names nothing is set")]
        let mut locals = $crate::Locals::default();
        $(locals.set(stringify!($name), $value);)*
        locals
    }};
}

impl<'a> Locals<'a> {
    /// Sets a variable; one of that name is replaced.
    pub fn set<T: Serialize + Send + Sync + 'a>(&mut self, name: &str, value: T) {
        let encode = move |to: &mut Encoded, owner| to.value(&value, owner);
        self.put(name, Variable::Given(Box::new(encode)));
    }

    fn put(&mut self, name: &str, variable: Variable<'a>) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = variable,
            None => self.variables.push((name.into(), variable)),
        }
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// A variable's value: one that was given, or that [`exec`](crate::Python::exec) has bound. What cannot be copied is had
    /// as an [`Object`], or as a copy of it.
    ///
    /// # Errors
    /// A `NameError` when there is none of that name; when it is not of that type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        let Some((_, variable)) = found else {
            return Err(Error::Python(Box::new(PyErr {
                kind: "NameError".into(),
                mro: ["NameError", "Exception", "BaseException", "object"].map(String::from).into(),
                args: Vec::new(),
                message: format!("name '{name}' is not defined"),
                traceback: String::new(),
            })));
        };
        let encode: &Encode<'_> = match variable {
            Variable::Object(object) => return object.extract(),
            Variable::Value(value) => &|to, owner| to.value(value, owner),
            Variable::Given(encode) => encode,
        };
        staying_here(|| {
            let mut encoded = Encoded::default();
            encode(&mut encoded, 0)?;
            if encoded.bytes == b"S"
                && want::<T>() == Want::Value
                && let Some(object) = only_one()
            {
                return object.extract();
            }
            let limits = crate::marshal::Limits::default();
            let refs: Vec<_> = encoded.refs.clone();
            let mut raws: Vec<Option<Vec<u8>>> = encoded.raws.into_iter().map(Some).collect();
            let mut decoder = Decoder::with(&encoded.bytes, &limits, &refs, &mut raws);
            Ok(decoder.value()?)
        })
    }

    /// As a dict.
    pub(crate) fn encode(&self, to: &mut Encoded, owner: u64) -> Result<()> {
        to.dict();
        for (name, variable) in &self.variables {
            to.str(name);
            match variable {
                Variable::Given(encode) => encode(to, owner)?,
                Variable::Value(value) => to.value(value, owner)?,
                Variable::Object(object) => to.value(object, owner)?,
            }
        }
        to.end_dict();
        Ok(())
    }

    /// What `exec` has changed.
    fn update(&mut self, decoder: &mut Decoder<'_>) -> Result<()> {
        decoder.tuple()?;
        for _ in 0..decoder.tuple()? {
            decoder.tuple()?;
            let name = decoder.str()?;
            let is_copied = decoder.int()? != 0;
            let variable = match is_copied {
                true => Variable::Value(decoder.value()?),
                false => Variable::Object(decoder.value()?),
            };
            self.put(name, variable);
        }
        for _ in 0..decoder.tuple()? {
            let name = decoder.str()?;
            self.variables.retain(|(known, _)| known != name);
        }
        Ok(())
    }
}

impl fmt::Debug for Locals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The variables of an evaluation: `()` for the session's own, which last; [`Locals`] by value or shared; `&mut Locals`, which
/// statements change; an [`Object`], a dict over there.
pub trait Names: sealed::Names {}

impl<T: sealed::Names> Names for T {}

pub(crate) mod sealed {
    use super::*;

    pub trait Names {
        /// The last two arguments of an evaluation: local and global variables.
        fn encode(&self, to: &mut Encoded, owner: u64) -> Result<()>;

        /// Runs the call, and takes back what it has changed.
        fn run(&mut self, object: &Object, call: Encoded) -> Result<()> {
            object.send::<()>(call)?.wait()
        }
    }

    impl Names for () {
        fn encode(&self, to: &mut Encoded, _: u64) -> Result<()> {
            to.none();
            to.none();
            Ok(())
        }
    }

    impl Names for Locals<'_> {
        fn encode(&self, to: &mut Encoded, owner: u64) -> Result<()> {
            Locals::encode(self, to, owner)?;
            to.none();
            Ok(())
        }
    }

    impl Names for &Locals<'_> {
        fn encode(&self, to: &mut Encoded, owner: u64) -> Result<()> {
            (**self).encode(to, owner)?;
            to.none();
            Ok(())
        }
    }

    impl Names for &mut Locals<'_> {
        fn encode(&self, to: &mut Encoded, owner: u64) -> Result<()> {
            Locals::encode(self, to, owner)?;
            to.none();
            Ok(())
        }

        fn run(&mut self, object: &Object, call: Encoded) -> Result<()> {
            object.send::<Value>(call)?.wait_by(|decoder| self.update(decoder))
        }
    }

    impl Names for &Object {
        fn encode(&self, to: &mut Encoded, owner: u64) -> Result<()> {
            to.none();
            to.value(self, owner)?;
            Ok(())
        }
    }
}

/// What can be evaluated: source text, or code that [`compile`](crate::Python::compile) has made.
pub trait Source: Serialize {}

impl Source for &str {}
impl Source for String {}
impl Source for &String {}
impl Source for &Object {}
