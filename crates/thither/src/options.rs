//! The options of a hop: which there are, and what is wrong with those that are given.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use thither_chroot::{Chroot, Ids, Mount, Network, Overlay, Source};
use thither_place::error::quoted;

use crate::address::{Hop, HopOption};
use crate::connect::ConnectError;
use crate::docker_options::{OF_DOCKER, OF_IMAGE};
use crate::preset::Preset;

/// An option that a place knows.
#[derive(Debug)]
pub(crate) struct Known {
    key: &'static str,
    value: Value,
    /// Whether it may be given more than once.
    many: bool,
}

/// What an option has after its `=`, and how that is called.
#[derive(Debug)]
pub(crate) enum Value {
    None,
    Some(&'static str),
    Maybe(&'static str),
}

pub(crate) const fn known(key: &'static str, value: Value) -> Known {
    Known { key, value, many: false }
}

pub(crate) const fn list(key: &'static str, value: &'static str) -> Known {
    Known { key, value: Value::Some(value), many: true }
}

/// What every place has, as it is about commands.
const OF_EVERY_PLACE: [Known; 4] = [
    known("user", Value::Some("USER")),
    known("dir", Value::Some("DIR")),
    list("env", "NAME[=VALUE]"),
    known("clear-env", Value::None),
];

/// What another root has besides.
pub(crate) const OF_CHROOT: &[Known] = &[
    list("bind", "SRC[:DEST]"),
    list("rbind", "SRC[:DEST]"),
    list("ro-bind", "SRC[:DEST]"),
    list("tmpfs", "DEST"),
    known("no-mounts", Value::None),
    known("hostname", Value::Some("FQDN")),
    known("net", Value::Some("host|none")),
    known("subids", Value::None),
    known("overlay", Value::Maybe("DIR")),
    known("read-only", Value::None),
    known("skip-chdir", Value::None),
    known("plain", Value::None),
];

/// The keys of what every place has.
pub(crate) fn keys_of_every_place() -> impl Iterator<Item = &'static str> {
    OF_EVERY_PLACE.iter().map(|known| known.key)
}

/// Whether an option of this key may be given more than once at some place that is built in.
pub(crate) fn is_list(key: &str) -> bool {
    let all = [&OF_EVERY_PLACE[..], OF_CHROOT, OF_DOCKER, OF_IMAGE];
    all.into_iter().flatten().any(|known| known.key == key && known.many)
}

impl Known {
    /// How it is written.
    fn form(&self) -> String {
        match self.value {
            Value::None => self.key.to_owned(),
            Value::Some(value) => format!("{}={value}", self.key),
            Value::Maybe(value) => format!("{}[={value}]", self.key),
        }
    }
}

/// The options of a hop, each one known, with a value if it has to have one, and as often as it may be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    hop: &'a Hop,
    of_place: &'static [Known],
}

impl<'a> Options<'a> {
    /// Checks them; `of_place` is what the place knows besides [`OF_EVERY_PLACE`].
    pub(crate) fn of(
        hop: &'a Hop,
        of_place: &'static [Known],
    ) -> Result<Options<'a>, ConnectError> {
        let options = Options { hop, of_place };
        let all = hop.options();
        for (nth, HopOption { key, value }) in all.iter().enumerate() {
            let Some(known) = options.known(key) else {
                return Err(ConnectError::UnknownOption {
                    place: hop.target().to_string(),
                    option: key.clone(),
                    known: options.all_known().map(|known| known.key).collect(),
                });
            };
            if !known.many && all[..nth].iter().any(|other| other.key == *key) {
                return Err(ConnectError::RepeatedOption {
                    place: hop.target().to_string(),
                    option: key.clone(),
                });
            }
            let wrong = match (&known.value, value) {
                (Value::None, Some(_)) => "it takes no value",
                (Value::Some(_), None) => "it needs a value",
                // An entrypoint that is empty is none, as `docker run` has it.
                (_, Some(value)) if value.is_empty() && key != "entrypoint" => "its value is empty",
                _ => continue,
            };
            return Err(options.bad(key, wrong));
        }
        Ok(options)
    }

    fn all_known(self) -> impl Iterator<Item = &'static Known> {
        self.of_place.iter().chain(&OF_EVERY_PLACE)
    }

    fn known(self, key: &str) -> Option<&'static Known> {
        self.all_known().find(|known| known.key == key)
    }

    /// Each key with its value, in their order; without a value it is empty.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a OsStr)> {
        let value = |option: &'a HopOption| option.value.as_deref().unwrap_or_default();
        self.hop.options().iter().map(move |option| (option.key.as_str(), value(option)))
    }

    pub(crate) fn bad(self, key: &str, wrong: impl Into<String>) -> ConnectError {
        ConnectError::BadOption {
            place: self.hop.target().to_string(),
            option: key.to_owned(),
            wrong: wrong.into(),
            form: self.known(key).map(Known::form).unwrap_or_default(),
        }
    }

    /// What commands are unless they say otherwise.
    pub(crate) fn preset(self) -> Result<Preset, ConnectError> {
        let mut preset = Preset::default();
        for (key, value) in self.iter() {
            match key {
                "user" => {
                    let user = value.to_str().ok_or_else(|| self.bad(key, "it is not UTF-8"))?;
                    preset.user = Some(user.to_owned());
                }
                "dir" => preset.dir = Some(value.into()),
                "env" => preset.env.push(self.variable(value)?),
                "clear-env" => preset.env_clear = true,
                _ => {}
            }
        }
        Ok(preset)
    }

    /// `NAME=VALUE`, or `NAME` with our own value. A value may be secret and is in no error.
    fn variable(self, text: &OsStr) -> Result<(OsString, OsString), ConnectError> {
        let bytes = text.as_bytes();
        let equals = bytes.iter().position(|&byte| byte == b'=');
        let name = OsStr::from_bytes(&bytes[..equals.unwrap_or(bytes.len())]);
        if name.is_empty() {
            return Err(self.bad("env", "it has no name"));
        }
        let value = match equals {
            Some(equals) => OsStr::from_bytes(&bytes[equals + 1..]).to_owned(),
            None => env::var_os(name)
                .ok_or_else(|| self.bad("env", format!("{} is not set here", quoted(name))))?,
        };
        Ok((name.to_owned(), value))
    }

    /// The root at this path as they have it.
    pub(crate) fn chroot(self, root: &Path) -> Result<Chroot, ConnectError> {
        let mut chroot = Chroot::new(root);
        // What they name themselves stays, wherever it stands.
        if self.iter().any(|(key, _)| key == "no-mounts") {
            chroot = chroot.mounts([]);
        }
        for (key, value) in self.iter() {
            chroot = match key {
                "bind" => chroot.mount(self.mount(key, value)?),
                "rbind" => chroot.mount(self.mount(key, value)?.recursive()),
                "ro-bind" => chroot.mount(self.mount(key, value)?.recursive().read_only()),
                "tmpfs" => chroot.mount(Mount::tmpfs(value)),
                "hostname" => chroot.hostname(value),
                "net" => chroot.network(match value.as_bytes() {
                    b"host" => Network::Host,
                    b"none" => Network::None,
                    _ => {
                        let wrong = format!("{} is neither `host` nor `none`", quoted(value));
                        return Err(self.bad(key, wrong));
                    }
                }),
                "subids" => chroot.ids(Ids::Subordinate),
                "overlay" if value.is_empty() => chroot.overlay(Overlay::Vanish),
                "overlay" => chroot.overlay(Overlay::Keep(self.absolute(key, value.as_ref())?)),
                "read-only" => chroot.read_only(true),
                "skip-chdir" => chroot.skip_chdir(true),
                "plain" => return Err(self.bad(key, "it is for roots beyond another hop")),
                _ => chroot,
            };
        }
        Ok(chroot)
    }

    fn mount(self, key: &str, text: &OsStr) -> Result<Mount, ConnectError> {
        let mut mount = Mount::parse(text);
        match &mut mount.source {
            Source::Path(path) if path.as_os_str().is_empty() => {
                Err(self.bad(key, "it names nothing to mount"))
            }
            Source::Variable(name) if name.is_empty() => {
                Err(self.bad(key, "its variable has no name"))
            }
            Source::Path(path) => {
                *path = self.absolute(key, path)?;
                Ok(mount)
            }
            _ => Ok(mount),
        }
    }

    /// A path of this machine, which may be relative to where we are now.
    fn absolute(self, key: &str, path: &Path) -> Result<PathBuf, ConnectError> {
        absolute(path).map_err(|error| {
            let wrong = format!("{} is relative to a directory without a path", quoted(path));
            self.bad(key, format!("{wrong}: {error}"))
        })
    }
}

/// A path from `/` on. It is also where a mount is to be seen, so it should not go up: the `..` that it begins with
/// are taken off our directory, which has no links in it.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let mut whole = env::current_dir()?;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next_if(|part| !matches!(part, Component::Normal(_))) {
        if part == Component::ParentDir {
            whole.pop();
        }
    }
    whole.extend(parts);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::{Address, connect};

    #[track_caller]
    fn check_chroot(query: &str, expected: Chroot) {
        let address = Address::parse(format!("chroot:/r?{query}")).unwrap();
        let options = Options::of(&address.hops()[0], OF_CHROOT).unwrap();
        let found = options.chroot(Path::new("/r")).unwrap();
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }

    #[track_caller]
    fn check_preset(place: &str, query: &str, expected: Preset) {
        let address = Address::parse(format!("{place}?{query}")).unwrap();
        let found = Options::of(&address.hops()[0], OF_CHROOT).unwrap().preset().unwrap();
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }

    #[track_caller]
    fn check_bad(addresses: &[&str], expected: Expect) {
        let said = addresses.iter().map(|address| match connect(address) {
            Ok(_) => format!("{address}: fine\n"),
            Err(error) => format!("{error}; {}\n", error.hint().unwrap_or_default()),
        });
        expected.assert_eq(&said.collect::<String>());
    }

    #[test]
    fn mounts() {
        let r = || Chroot::new("/r");
        check_chroot("bind=/a", r().mount(Mount::bind("/a")));
        check_chroot("bind=/a:/b", r().mount(Mount::bind("/a").at("/b")));
        check_chroot("bind=/a%20%26b", r().mount(Mount::bind("/a &b")));
        check_chroot("bind=%FF:/b", {
            let here = env::current_dir().unwrap();
            r().mount(Mount::bind(here.join(OsStr::from_bytes(b"\xff"))).at("/b"))
        });
        check_chroot("rbind=/a", r().mount(Mount::bind("/a").recursive()));
        check_chroot(
            "ro-bind=/a:/b",
            r().mount(Mount::bind("/a").at("/b").recursive().read_only()),
        );
        check_chroot("bind=$HOME:/h", r().mount(Mount::variable("HOME").at("/h")));
        check_chroot("bind=proc:/p", r().mount(Mount::proc().at("/p")));
        check_chroot(
            "ro-bind=sysfs:/s",
            r().mount(Mount::sysfs().at("/s").recursive().read_only()),
        );
        check_chroot("tmpfs=/t", r().mount(Mount::tmpfs("/t")));
        check_chroot("tmpfs=/a:b", r().mount(Mount::tmpfs("/a:b")));
    }

    #[test]
    fn mounts_keep_their_order_and_the_later_one_of_a_place_counts() {
        let r = || Chroot::new("/r");
        check_chroot(
            "tmpfs=/t&bind=/a:/t/a&tmpfs=/u",
            r().mount(Mount::tmpfs("/t"))
                .mount(Mount::bind("/a").at("/t/a"))
                .mount(Mount::tmpfs("/u")),
        );
        check_chroot("bind=/a:/b&tmpfs=/b", r().mount(Mount::tmpfs("/b")));
        check_chroot("bind=/x:/dev", r().mount(Mount::bind("/x").at("/dev")));
        check_chroot("no-mounts", r().mounts([]));
        let explicit = r().mounts([Mount::bind("/a"), Mount::tmpfs("/b")]);
        check_chroot("bind=/a&no-mounts&tmpfs=/b", explicit);
    }

    #[test]
    fn what_else_a_root_has() {
        let r = || Chroot::new("/r");
        check_chroot("hostname=a.b", r().hostname("a.b"));
        check_chroot("net=host", r().network(Network::Host));
        check_chroot("net=none", r().network(Network::None));
        check_chroot("subids", r().ids(Ids::Subordinate));
        check_chroot("overlay", r().overlay(Overlay::Vanish));
        check_chroot("overlay=/o", r().overlay(Overlay::Keep("/o".into())));
        let here = env::current_dir().unwrap();
        check_chroot("overlay=o", r().overlay(Overlay::Keep(here.join("o"))));
        check_chroot("read-only", r().read_only(true));
        check_chroot("skip-chdir&net=none", r().skip_chdir(true).network(Network::None));
        check_chroot("user=me&dir=/&env=A=1&clear-env", r());
    }

    #[test]
    fn what_every_place_has() {
        let p = Preset::default;
        for place in ["local:", "chroot:/"] {
            check_preset(place, "user=me:us", Preset { user: Some("me:us".into()), ..p() });
            check_preset(place, "dir=a%20b", Preset { dir: Some("a b".into()), ..p() });
            check_preset(place, "clear-env", Preset { env_clear: true, ..p() });
            let env = [("A", "1=2"), ("B", "")].map(|(name, value)| (name.into(), value.into()));
            check_preset(place, "env=A=1=2&env=B=", Preset { env: env.into(), ..p() });
        }
        let path = env::var_os("PATH").unwrap();
        check_preset("local:", "env=PATH", Preset { env: vec![("PATH".into(), path)], ..p() });
    }

    #[test]
    fn unknown() {
        check_bad(
            &["chroot:/?secret=x", "chroot:/?overly", "local:?net=none", "local:?envv=A=SECRET"],
            expect![[r#"
                `chroot:/` has no option `secret`; known options: `bind`, `rbind`, `ro-bind`, `tmpfs`, `no-mounts`, `hostname`, `net`, `subids`, `overlay`, `read-only`, `skip-chdir`, `plain`, `user`, `dir`, `env`, `clear-env`
                `chroot:/` has no option `overly`; did you mean `overlay`?
                `local:` has no option `net`; known options: `user`, `dir`, `env`, `clear-env`
                `local:` has no option `envv`; did you mean `env`?
            "#]],
        );
    }

    #[test]
    fn twice() {
        let twice = |key: &str| match key {
            "overlay" => "overlay&overlay=/x".to_owned(),
            "net" => "net=host&net=none".to_owned(),
            "hostname" | "user" | "dir" => format!("{key}=a&{key}=b"),
            _ => format!("{key}&{key}"),
        };
        let once = |known: &&Known| !known.many;
        for known in OF_CHROOT.iter().chain(&OF_EVERY_PLACE).filter(once) {
            let error = connect(format!("chroot:/?{}", twice(known.key))).err().unwrap();
            let said = format!("`chroot:/` has the option `{}` twice", known.key);
            assert_eq!(error.to_string(), said);
            assert_eq!(error.hint().unwrap(), "leave one of them out");
        }
    }

    #[test]
    fn bad_values() {
        check_bad(
            &[
                "chroot:/?bind",
                "chroot:/?bind=",
                "chroot:/?rbind=:/x",
                "chroot:/?ro-bind=$",
                "chroot:/?ro-bind=$:/x",
                "chroot:/?tmpfs",
                "chroot:/?tmpfs=",
                "chroot:/?no-mounts=yes",
                "chroot:/?hostname",
                "chroot:/?hostname=",
                "chroot:/?net",
                "chroot:/?net=",
                "chroot:/?net=wifi",
                "chroot:/?net=Host",
                "chroot:/?subids=100000",
                "chroot:/?overlay=",
                "chroot:/?read-only=",
                "chroot:/?skip-chdir=no",
                "local:?user",
                "local:?user=",
                "local:?user=%FF",
                "local:?dir",
                "local:?dir=",
                "local:?env",
                "local:?env=",
                "local:?env==SECRET",
                "local:?env=THITHER_UNSET",
                "local:?clear-env=yes",
            ],
            expect![[r#"
                bad option `bind` of `chroot:/`: it needs a value; write `bind=SRC[:DEST]`
                bad option `bind` of `chroot:/`: its value is empty; write `bind=SRC[:DEST]`
                bad option `rbind` of `chroot:/`: it names nothing to mount; write `rbind=SRC[:DEST]`
                bad option `ro-bind` of `chroot:/`: its variable has no name; write `ro-bind=SRC[:DEST]`
                bad option `ro-bind` of `chroot:/`: its variable has no name; write `ro-bind=SRC[:DEST]`
                bad option `tmpfs` of `chroot:/`: it needs a value; write `tmpfs=DEST`
                bad option `tmpfs` of `chroot:/`: its value is empty; write `tmpfs=DEST`
                bad option `no-mounts` of `chroot:/`: it takes no value; write `no-mounts`
                bad option `hostname` of `chroot:/`: it needs a value; write `hostname=FQDN`
                bad option `hostname` of `chroot:/`: its value is empty; write `hostname=FQDN`
                bad option `net` of `chroot:/`: it needs a value; write `net=host|none`
                bad option `net` of `chroot:/`: its value is empty; write `net=host|none`
                bad option `net` of `chroot:/`: `wifi` is neither `host` nor `none`; write `net=host|none`
                bad option `net` of `chroot:/`: `Host` is neither `host` nor `none`; write `net=host|none`
                bad option `subids` of `chroot:/`: it takes no value; write `subids`
                bad option `overlay` of `chroot:/`: its value is empty; write `overlay[=DIR]`
                bad option `read-only` of `chroot:/`: it takes no value; write `read-only`
                bad option `skip-chdir` of `chroot:/`: it takes no value; write `skip-chdir`
                bad option `user` of `local:`: it needs a value; write `user=USER`
                bad option `user` of `local:`: its value is empty; write `user=USER`
                bad option `user` of `local:`: it is not UTF-8; write `user=USER`
                bad option `dir` of `local:`: it needs a value; write `dir=DIR`
                bad option `dir` of `local:`: its value is empty; write `dir=DIR`
                bad option `env` of `local:`: it needs a value; write `env=NAME[=VALUE]`
                bad option `env` of `local:`: its value is empty; write `env=NAME[=VALUE]`
                bad option `env` of `local:`: it has no name; write `env=NAME[=VALUE]`
                bad option `env` of `local:`: `THITHER_UNSET` is not set here; write `env=NAME[=VALUE]`
                bad option `clear-env` of `local:`: it takes no value; write `clear-env`
            "#]],
        );
    }

    #[test]
    fn relative_paths() {
        let here = env::current_dir().unwrap();
        let check = |path: &str, expected: &Path| {
            assert_eq!(absolute(path.as_ref()).unwrap(), expected, "{path}");
        };
        check("/a/../b/", "/a/../b/".as_ref());
        check("a/b", &here.join("a/b"));
        check("./a", &here.join("a"));
        check(".", &here);
        check("..", here.parent().unwrap());
        check("../.././a", &here.parent().unwrap().parent().unwrap().join("a"));
        check("a/../b", &here.join("a/../b"));
    }
}
