//! Python's operators on proxies.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Object, Result, Value};

/// All of these are calls, and fail as every call does.
impl Object {
    /// `len(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn len(&self) -> Result<usize> {
        self.op("len", ())
    }

    /// Whether `len(o)` is 0.
    ///
    /// # Errors
    /// As every call.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// `o[key]`.
    ///
    /// # Errors
    /// As every call.
    pub fn get_item<T: DeserializeOwned>(&self, key: impl Serialize) -> Result<T> {
        self.op("getitem", (key,))
    }

    /// `o[key] = value`.
    ///
    /// # Errors
    /// As every call.
    pub fn set_item(&self, key: impl Serialize, value: impl Serialize) -> Result<()> {
        self.op("setitem", (key, value))
    }

    /// `del o[key]`.
    ///
    /// # Errors
    /// As every call.
    pub fn del_item(&self, key: impl Serialize) -> Result<()> {
        self.op("delitem", (key,))
    }

    /// `o[start:stop:step]`, `None` for what is left out.
    ///
    /// # Errors
    /// As every call.
    pub fn get_slice<T: DeserializeOwned>(
        &self,
        start: Option<i64>,
        stop: Option<i64>,
        step: Option<i64>,
    ) -> Result<T> {
        self.op("getslice", (start, stop, step))
    }

    /// `o[start:stop:step] = value`.
    ///
    /// # Errors
    /// As every call.
    pub fn set_slice(
        &self,
        start: Option<i64>,
        stop: Option<i64>,
        step: Option<i64>,
        value: impl Serialize,
    ) -> Result<()> {
        self.op("setslice", (value, start, stop, step))
    }

    /// `del o[start:stop:step]`.
    ///
    /// # Errors
    /// As every call.
    pub fn del_slice(
        &self,
        start: Option<i64>,
        stop: Option<i64>,
        step: Option<i64>,
    ) -> Result<()> {
        self.op("delslice", (start, stop, step))
    }

    /// `item in o`.
    ///
    /// # Errors
    /// As every call.
    pub fn contains(&self, item: impl Serialize) -> Result<bool> {
        self.op("contains", (item,))
    }

    /// `o.name = value`.
    ///
    /// # Errors
    /// As every call.
    pub fn setattr(&self, name: &str, value: impl Serialize) -> Result<()> {
        self.op("setattr", (name, value))
    }

    /// `del o.name`.
    ///
    /// # Errors
    /// As every call.
    pub fn delattr(&self, name: &str) -> Result<()> {
        self.op("delattr", (name,))
    }

    /// `hasattr(o, name)`.
    ///
    /// # Errors
    /// As every call.
    pub fn hasattr(&self, name: &str) -> Result<bool> {
        self.op("hasattr", (name,))
    }

    /// `dir(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn dir(&self) -> Result<Vec<String>> {
        self.op("dir", ())
    }

    /// `str(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn str(&self) -> Result<String> {
        self.op("str", ())
    }

    /// `repr(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn repr(&self) -> Result<String> {
        self.op("repr", ())
    }

    /// `hash(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn hash(&self) -> Result<i64> {
        self.op("hash", ())
    }

    /// `bool(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn is_truthy(&self) -> Result<bool> {
        self.op("bool", ())
    }

    /// `type(o)`.
    ///
    /// # Errors
    /// As every call.
    pub fn get_type(&self) -> Result<Object> {
        self.op("type", ())
    }

    /// `isinstance(o, kind)`.
    ///
    /// # Errors
    /// As every call.
    pub fn is_instance(&self, kind: &Object) -> Result<bool> {
        self.op("isinstance", (kind,))
    }

    /// `o is other`. Without a round trip where both are known.
    ///
    /// # Errors
    /// As every call.
    pub fn is(&self, other: &Object) -> Result<bool> {
        let known = |o: &Object| o.path.is_empty() && o.handle.number > 0;
        let same = std::sync::Arc::ptr_eq(&self.handle.session, &other.handle.session);
        match known(self) && known(other) && same {
            // One number for one object, as long as anybody holds it.
            true => Ok(self.handle.number == other.handle.number),
            false => self.op("is_", (other,)),
        }
    }

    /// `with o as value:`. The function is given what entering gives; an error that it returns is told to `__exit__`, as
    /// `RuntimeError` if it is not Python's, and stays an error unless that swallows it (`None` then).
    ///
    /// # Errors
    /// As every call, and what the function returns.
    pub fn with<T: DeserializeOwned, R>(
        &self,
        function: impl FnOnce(T) -> Result<R>,
    ) -> Result<Option<R>> {
        let object = self.resolve()?;
        let entered: T = object.op("enter", ())?;
        match function(entered) {
            Ok(result) => {
                object.op::<()>("exit", (None::<()>, None::<()>, None::<()>))?;
                Ok(Some(result))
            }
            Err(error) => {
                let (kind, args) = match error.python() {
                    Some(error) => (error.kind.clone(), error.args.clone()),
                    None => ("RuntimeError".into(), vec![Value::Str(error.to_string())]),
                };
                match object.op::<bool>("exit_with", (kind, args))? {
                    true => Ok(None),
                    false => Err(error),
                }
            }
        }
    }
}

/// Binary operators: with the other operand, and their answer as any type.
macro_rules! operators {
    ($($name:ident $text:literal,)*) => {
        /// Binary operators. Those in place (`iadd`) are had by [`op`](Object::op).
        impl Object {
            $(
                #[doc = concat!("`o ", $text, " other`.\n\n# Errors\nAs every call.")]
                pub fn $name<T: DeserializeOwned>(&self, other: impl Serialize) -> Result<T> {
                    self.op(stringify!($name), (other,))
                }
            )*
        }
    };
}

operators! {
    add "+", sub "-", mul "*", truediv "/", floordiv "//", matmul "@", lshift "<<", rshift ">>", and_ "&", or_ "|",
    xor "^", lt "<", le "<=", eq "==", ne "!=", gt ">", ge ">=",
}

macro_rules! other_operators {
    ($($name:ident $op:literal $text:literal,)*) => {
        /// Operators whose names are taken, or that have one operand.
        impl Object {
            $(
                #[doc = concat!("`", $text, "`.\n\n# Errors\nAs every call.")]
                pub fn $name<T: DeserializeOwned>(&self) -> Result<T> {
                    self.op($op, ())
                }
            )*
        }
    };
}

other_operators! { neg "neg" "-o", pos "pos" "+o", abs "abs" "abs(o)", invert "invert" "~o", }

impl Object {
    /// `o % other`.
    ///
    /// # Errors
    /// As every call.
    pub fn rem<T: DeserializeOwned>(&self, other: impl Serialize) -> Result<T> {
        self.op("mod", (other,))
    }

    /// `o ** other`.
    ///
    /// # Errors
    /// As every call.
    pub fn pow<T: DeserializeOwned>(&self, other: impl Serialize) -> Result<T> {
        self.op("pow", (other,))
    }
}
