//! Schemes of one's own: addresses of places that are not built in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, PoisonError, RwLock};

use thither_place::Place;
use thither_place::error::quoted;

use crate::address::{self, Hop, HopOption, SCHEMES};
use crate::connect::ConnectError;
use crate::nearest::nearest;
use crate::options::{Options, keys_of_every_place};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Make = dyn Fn(&Request<'_>) -> Result<Box<dyn Place>, BoxError> + Send + Sync;

/// Those of this program. They stay until it ends.
static REGISTERED: Registry = Registry(RwLock::new(BTreeMap::new()));

/// Makes addresses of a scheme lead to places of one's own, in all of this program: [`connect`](crate::connect()) and whatever else
/// takes an [`Address`](crate::Address) or an [`Operand`](crate::Operand) knows it from now on.
///
/// `make` gives the place of an address; as with the places that are built in, nothing should be entered or run before the
/// place's first command. The options of every place (`user`, `dir`, `env`, `clear-env`) are seen to, and not shown to it. An
/// option that it did not ask the [`Request`] for is an error.
///
/// ```
/// use thither::{Chroot, Place};
/// # mod thither { pub use ::thither::*; pub use ::thither::chroot::Chroot; }
///
/// // `box:web?read-only` is `chroot:/srv/boxes/web?read-only`.
/// thither::register("box", |request| {
///     let root = std::path::Path::new("/srv/boxes").join(request.target());
///     Ok(Box::new(Chroot::new(root).read_only(request.flag("read-only")?)))
/// })?;
/// let web = thither::connect("box:web?read-only&user=www")?;
/// assert!(thither::connect("box:web?net=none").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the scheme is none, is built in, or is registered already.
pub fn register(
    scheme: &str,
    make: impl Fn(&Request<'_>) -> Result<Box<dyn Place>, BoxError> + Send + Sync + 'static,
) -> Result<(), RegisterError> {
    REGISTERED.add(scheme, Arc::new(make))
}

/// Why a scheme cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It is not written as a scheme.
    #[error("{} is no scheme", quoted(scheme))]
    Malformed {
        /// As it was given.
        scheme: String,
    },
    /// It is one of [`SCHEMES`], which are understood or reserved.
    #[error("the scheme {} is built in", quoted(scheme))]
    BuiltIn {
        /// As it was given.
        scheme: String,
    },
    /// It was registered before.
    #[error("the scheme {} is registered already", quoted(scheme))]
    Taken {
        /// As it was given.
        scheme: String,
    },
}

impl RegisterError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            RegisterError::Malformed { .. } => {
                "write lower-case letters, digits and any of `+ - .`, a letter first and no colon"
            }
            RegisterError::BuiltIn { .. } => "choose another scheme",
            RegisterError::Taken { .. } => "register it once",
        }
    }
}

/// What an address says of a place of one's own: its target, and the options that are not of every place.
#[derive(Debug)]
pub struct Request<'a> {
    hop: &'a Hop,
    target: &'a OsStr,
    /// The keys that were asked for, and so are known.
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Request<'a> {
    /// What stands between the scheme's colon and the options, decoded; it may be empty.
    #[must_use]
    pub fn target(&self) -> &'a OsStr {
        self.target
    }

    /// Whether it has the option `key`, which takes no value.
    ///
    /// # Errors
    /// When it is there twice or with a value.
    pub fn flag(&self, key: &'static str) -> Result<bool, ConnectError> {
        match self.once(key)? {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(_)) => Err(self.wrong(key, "it takes no value", key.to_owned())),
        }
    }

    /// The value of its option `key=VALUE`.
    ///
    /// # Errors
    /// When it is there twice or without a value.
    pub fn value(&self, key: &'static str) -> Result<Option<&'a OsStr>, ConnectError> {
        self.once(key)?.map(|value| self.filled(key, value)).transpose()
    }

    /// The values of its options `key=VALUE`, which may be repeated, in their order.
    ///
    /// # Errors
    /// When one is without a value.
    pub fn values(&self, key: &'static str) -> Result<Vec<&'a OsStr>, ConnectError> {
        self.all(key).map(|value| self.filled(key, value)).collect()
    }

    /// The error for an option `key=VALUE` with a value that it cannot have, and what is wrong with it.
    #[must_use]
    pub fn bad(&self, key: &'static str, wrong: impl Into<String>) -> ConnectError {
        self.wrong(key, wrong, format!("{key}=VALUE"))
    }

    fn all(&self, key: &'static str) -> impl Iterator<Item = Option<&'a OsStr>> + use<'a> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        let of_key = self.hop.options().iter().filter(move |option| option.key == key);
        of_key.map(|option| option.value.as_deref())
    }

    fn once(&self, key: &'static str) -> Result<Option<Option<&'a OsStr>>, ConnectError> {
        let mut all = self.all(key);
        match (all.next(), all.next()) {
            (_, Some(_)) => {
                Err(ConnectError::RepeatedOption { place: self.place(), option: key.to_owned() })
            }
            (found, None) => Ok(found),
        }
    }

    fn filled(
        &self,
        key: &'static str,
        value: Option<&'a OsStr>,
    ) -> Result<&'a OsStr, ConnectError> {
        match value {
            None => Err(self.bad(key, "it needs a value")),
            Some(value) if value.is_empty() => Err(self.bad(key, "its value is empty")),
            Some(value) => Ok(value),
        }
    }

    fn wrong(&self, key: &str, wrong: impl Into<String>, form: String) -> ConnectError {
        let (place, option) = (self.place(), key.to_owned());
        ConnectError::BadOption { place, option, wrong: wrong.into(), form }
    }

    fn place(&self) -> String {
        self.hop.target().to_string()
    }

    /// Whether all of its options were asked for.
    fn finish(self) -> Result<(), ConnectError> {
        let place = self.place();
        let known = self.asked.into_inner();
        let unknown = |option: &&HopOption| !known.contains(&option.key.as_str());
        match self.hop.options().iter().find(unknown) {
            None => Ok(()),
            Some(HopOption { key, .. }) => Err(ConnectError::UnknownOption {
                place,
                option: key.clone(),
                known: known.into_iter().chain(keys_of_every_place()).collect(),
            }),
        }
    }
}

/// The place of a hop whose scheme is not built in.
pub(crate) fn connect(
    hop: &Hop,
    scheme: &str,
    target: &OsStr,
) -> Result<Box<dyn Place>, ConnectError> {
    REGISTERED.connect(hop, scheme, target)
}

/// The schemes that were registered, in order.
pub(crate) fn registered() -> Vec<String> {
    REGISTERED.schemes()
}

/// The scheme that a mistyped word was meant to be.
pub(crate) fn nearest_scheme(word: &str) -> Option<String> {
    let registered = registered();
    let all: Vec<&str> = SCHEMES.into_iter().chain(registered.iter().map(String::as_str)).collect();
    nearest(word, &all).map(str::to_owned)
}

/// Schemes and who makes their places.
struct Registry(RwLock<BTreeMap<String, Arc<Make>>>);

impl Registry {
    fn add(&self, scheme: &str, make: Arc<Make>) -> Result<(), RegisterError> {
        let given = scheme.to_owned();
        if !address::is_scheme(scheme.as_bytes()) {
            return Err(RegisterError::Malformed { scheme: given });
        }
        if SCHEMES.contains(&scheme) {
            return Err(RegisterError::BuiltIn { scheme: given });
        }
        // Nobody's code runs while it is locked, so a panic leaves it whole.
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(scheme) {
            return Err(RegisterError::Taken { scheme: given });
        }
        known.insert(given, make);
        Ok(())
    }

    fn schemes(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn connect(
        &self,
        hop: &Hop,
        scheme: &str,
        target: &OsStr,
    ) -> Result<Box<dyn Place>, ConnectError> {
        // Whoever makes a place may connect to another, so it is not locked meanwhile.
        let make = self.0.read().unwrap_or_else(PoisonError::into_inner).get(scheme).cloned();
        let Some(make) = make else {
            return Err(ConnectError::UnknownScheme { scheme: scheme.to_owned() });
        };
        let (common, own) = hop.split(|key| keys_of_every_place().any(|known| known == key));
        let preset = Options::of(&common, &[])?.preset()?;
        let request = Request { hop: &own, target, asked: RefCell::default() };
        let place = make(&request).map_err(|error| not_made(hop, error))?;
        request.finish()?;
        Ok(preset.on_boxed(place))
    }
}

/// The error of who makes a place, in ours.
fn not_made(hop: &Hop, error: BoxError) -> ConnectError {
    error.downcast::<ConnectError>().map_or_else(
        |error| {
            let mut wrong = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                wrong += &format!(": {error}");
                source = error.source();
            }
            ConnectError::NotMade { place: hop.target().to_string(), wrong }
        },
        |error| *error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Target;
    use crate::{Address, Local};
    use expect_test::{Expect, expect};

    /// `mine:` with the flag `fast`, the value `size`, which is a number, and the values `part`.
    fn registry() -> Registry {
        let registry = Registry(RwLock::new(BTreeMap::new()));
        let make = |request: &Request<'_>| -> Result<Box<dyn Place>, BoxError> {
            request.flag("fast")?;
            request.values("part")?;
            if let Some(size) = request.value("size")? {
                let size = size.to_str().and_then(|size| size.parse::<u8>().ok());
                size.ok_or_else(|| request.bad("size", "it is no number"))?;
            }
            match request.target().is_empty() {
                true => Err("it has no name")?,
                false => Ok(Box::new(Local)),
            }
        };
        registry.add("mine", Arc::new(make)).unwrap();
        registry
    }

    #[track_caller]
    fn check(address: &str, expected: Expect) {
        let address = Address::parse(address).unwrap();
        let hop = &address.hops()[0];
        let Target::Other(scheme, target) = hop.target() else { panic!("{address} is built in") };
        let text = match registry().connect(hop, scheme, target) {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        };
        expected.assert_eq(&text);
    }

    #[track_caller]
    fn check_scheme(scheme: &str, expected: Expect) {
        let text = match registry().add(scheme, Arc::new(|_| Ok(Box::new(Local)))) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{error}; {}", error.hint()),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn options() {
        check("mine:x", expect!["ok"]);
        check("mine:x?fast&size=3&part=a&part=b&user=me&dir=/&env=A=1&clear-env", expect!["ok"]);
        check(
            "mine:x?size=",
            expect!["bad option `size` of `mine:x`: its value is empty; write `size=VALUE`"],
        );
        check(
            "mine:x?size",
            expect!["bad option `size` of `mine:x`: it needs a value; write `size=VALUE`"],
        );
        check(
            "mine:x?size=1&size=2",
            expect!["`mine:x` has the option `size` twice; leave one of them out"],
        );
        check(
            "mine:x?size=big",
            expect!["bad option `size` of `mine:x`: it is no number; write `size=VALUE`"],
        );
        check(
            "mine:x?fast=yes",
            expect!["bad option `fast` of `mine:x`: it takes no value; write `fast`"],
        );
        check(
            "mine:x?part=a&part",
            expect!["bad option `part` of `mine:x`: it needs a value; write `part=VALUE`"],
        );
        check("mine:x?sise=3", expect!["`mine:x` has no option `sise`; did you mean `size`?"]);
        check(
            "mine:x?secret=y",
            expect![
                "`mine:x` has no option `secret`; known options: `fast`, `part`, `size`, `user`, `dir`, `env`, `clear-env`"
            ],
        );
        check(
            "mine:x?env==y",
            expect!["bad option `env` of `mine:x`: it has no name; write `env=NAME[=VALUE]`"],
        );
        check(
            "mine:x?user=a&user=b",
            expect!["`mine:x` has the option `user` twice; leave one of them out"],
        );
        check("mine:", expect!["cannot make the place `mine:`: it has no name; "]);
        check(
            "other:x",
            expect![
                "unknown scheme `other`; places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`"
            ],
        );
    }

    #[test]
    fn schemes() {
        check_scheme("a", expect!["ok"]);
        check_scheme("my+place-2.0", expect!["ok"]);
        for bad in ["", "Mine", "2nd", "a:", "a b", "é"] {
            let error = registry().add(bad, Arc::new(|_| Ok(Box::new(Local)))).unwrap_err();
            assert_eq!(error, RegisterError::Malformed { scheme: bad.into() });
        }
        check_scheme(
            "a:",
            expect![
                "`a:` is no scheme; write lower-case letters, digits and any of `+ - .`, a letter first and no colon"
            ],
        );
        check_scheme("docker", expect!["the scheme `docker` is built in; choose another scheme"]);
        check_scheme("ssh", expect!["the scheme `ssh` is built in; choose another scheme"]);
        check_scheme("mine", expect!["the scheme `mine` is registered already; register it once"]);
    }

    #[test]
    fn causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("no such thing")]
        struct Outer(#[source] std::io::Error);
        let address = Address::parse("mine:x?secret=y").unwrap();
        let error = Outer(std::io::Error::other("inner"));
        let error = not_made(&address.hops()[0], Box::new(error));
        assert_eq!(error.to_string(), "cannot make the place `mine:x`: no such thing: inner");
    }
}
