//! From TOML to named places.

use std::path::PathBuf;

use thither_docker::settings::detach_keys;
use thither_place::error::quoted;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{ConfigError, Wrong};
use super::file::line_of;
use super::{Config, NamedPlace};
use crate::address::{Address, HopOption, SCHEMES, Target};
use crate::nearest::nearest;

type Result<T> = std::result::Result<T, Wrong>;

/// What a place can have, and how it is written.
const KEYS: [(&str, &str); 5] = [
    ("address", "address = \"docker:web\""),
    ("user", "user = \"USER\""),
    ("dir", "dir = \"DIR\""),
    ("env", "env = { NAME = \"VALUE\" }"),
    ("detach-keys", "detach-keys = \"ctrl-p,ctrl-q\""),
];

/// What somebody may call a password, here and among options.
const PASSWORDS: [&str; 4] = ["password", "passwd", "passphrase", "pass"];

impl Config {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str, file: PathBuf) -> std::result::Result<Config, ConfigError> {
        let config = match places(text) {
            Ok(places) => Config { file: Some(file.clone()), places },
            Err(wrong) => return Err(ConfigError::new(&file, wrong)),
        };
        let whole = config.places.iter().try_for_each(|place| config.check(place));
        whole.map_err(|wrong| ConfigError::new(&file, wrong))?;
        Ok(config)
    }
}

fn places(text: &str) -> Result<Vec<NamedPlace>> {
    let source = Source { text };
    // Its own text would show the line, and maybe a secret.
    let root = DeTable::parse(text).map_err(|error| {
        let wrong = Wrong::new(format!("it is no TOML: {}", error.message()));
        let wrong = wrong.hint("write lines as `[place.web]` and `address = \"docker:web\"`");
        match error.span() {
            Some(span) => wrong.at(line_of(text.as_bytes(), span.start)),
            None => wrong,
        }
    })?;
    let mut places = Vec::new();
    for (key, value) in root.get_ref() {
        if key.get_ref() != "place" {
            let wrong = source
                .wrong(key, format!("there is no setting {}", quoted(key.get_ref().as_ref())));
            return Err(match is_password(key.get_ref()) {
                true => source.password(key, "this file"),
                false => wrong.hint("a place begins with a line as `[place.web]`"),
            });
        }
        let form = "begin a place with a line as `[place.web]`";
        let tables = value.get_ref().as_table();
        let tables = tables.ok_or_else(|| source.wrong(value, "`place` is no table").hint(form))?;
        for (name, value) in tables {
            let no_table = || {
                let text = format!("{} is no table", place(name.get_ref()));
                source.wrong(value, text).hint(form)
            };
            let table = value.get_ref().as_table().ok_or_else(no_table)?;
            places.push(source.place(name, table)?);
        }
    }
    Ok(places)
}

/// The file's text, which knows the lines of what was read from it.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
}

impl Source<'_> {
    fn line<T>(self, of: &Spanned<T>) -> usize {
        line_of(self.text.as_bytes(), of.span().start)
    }

    fn wrong<T>(self, at: &Spanned<T>, text: impl Into<String>) -> Wrong {
        Wrong::new(text).at(self.line(at))
    }

    fn password<T>(self, at: &Spanned<T>, of: &str) -> Wrong {
        self.wrong(at, format!("a password does not belong in {of}"))
            .hint("leave it out: the file is kept and copied as any other")
    }

    fn place(self, name: &Spanned<DeString<'_>>, table: &DeTable<'_>) -> Result<NamedPlace> {
        let text = name.get_ref().as_ref();
        match Address::parse(text) {
            Ok(address) if is_name(&address, text) => {}
            _ if SCHEMES.contains(&text) => {
                let wrong = format!("{} has the name of a scheme", place(text));
                return Err(self.wrong(name, wrong).hint("choose another name"));
            }
            _ => {
                let wrong = format!("{} is no name of a place", quoted(text));
                let hint =
                    "letters and digits make a name, and after the first of them any of `. _ -`";
                return Err(self.wrong(name, wrong).hint(hint));
            }
        }
        let mut found = None;
        let mut presets = Vec::new();
        for (key, value) in table {
            let setting = Setting { source: self, place: text, key: key.get_ref(), value };
            match key.get_ref().as_ref() {
                "address" => found = Some((setting.address()?, self.line(value))),
                "env" => presets.extend(setting.variables()?),
                "user" | "dir" => presets.push(setting.option()?),
                "detach-keys" => presets.push(setting.keys()?),
                other if is_password(other) => return Err(self.password(key, &place(text))),
                _ => return Err(self.unknown(key, value, text)),
            }
        }
        let Some((address, line)) = found else {
            let wrong = self.wrong(name, format!("{} has no address", place(text)));
            return Err(wrong.hint(format!("write `{}`", KEYS[0].1)));
        };
        Ok(NamedPlace { name: text.to_owned(), address, presets, line })
    }

    fn unknown(
        self,
        key: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        name: &str,
    ) -> Wrong {
        let known = KEYS.map(|(key, _)| key);
        let text = key.get_ref().as_ref();
        let wrong = self.wrong(key, format!("{} has no setting {}", place(name), quoted(text)));
        wrong.hint(match nearest(text, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if value.get_ref().is_table() => {
                "put a name with a dot in quotes, as in `[place.\"a.b\"]`".to_owned()
            }
            None => format!("it can have `{}`; options stand in its address", known.join("`, `")),
        })
    }
}

/// A setting of a place.
#[derive(Clone, Copy)]
struct Setting<'a> {
    source: Source<'a>,
    /// The place's name.
    place: &'a str,
    key: &'a str,
    value: &'a Spanned<DeValue<'a>>,
}

impl Setting<'_> {
    fn wrong(self, text: impl std::fmt::Display) -> Wrong {
        let wrong = format!("`{}` of {} {text}", self.key, place(self.place));
        let form = KEYS.iter().find(|(key, _)| *key == self.key).map(|(_, form)| form);
        let hint = form.map(|form| format!("write it as in `{form}`"));
        self.source.wrong(self.value, wrong).maybe_hint(hint)
    }

    /// A text that is not empty and can be an argument of a program.
    fn text(&self) -> Result<&str> {
        match self.value.get_ref().as_str() {
            None => Err(self.wrong("is no text in quotes")),
            Some("") => Err(self.wrong("is empty")),
            Some(text) if text.contains('\0') => Err(self.wrong("has a NUL in it")),
            Some(text) => Ok(text),
        }
    }

    fn address(self) -> Result<Address> {
        let address = Address::parse(self.text()?).map_err(|error| {
            let wrong = self.wrong(format!("is a {error}"));
            match error.hint() {
                Some(hint) => wrong.hint(hint),
                None => wrong,
            }
        })?;
        let mut options = address.hops().iter().flat_map(|hop| hop.options());
        match options.any(|option| is_password(&option.key) && option.value.is_some()) {
            true => Err(self
                .source
                .password(self.value, &format!("the address of {}", place(self.place)))),
            false => Ok(address),
        }
    }

    /// The option of its own name.
    fn option(self) -> Result<HopOption> {
        Ok(HopOption { key: self.key.to_owned(), value: Some(self.text()?.into()) })
    }

    fn keys(self) -> Result<HopOption> {
        detach_keys(self.text()?).map_err(|error| self.wrong(format!("is wrong: {error}")))?;
        self.option()
    }

    /// An option for each variable. A value may be secret and is in no error.
    fn variables(self) -> Result<Vec<HopOption>> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| self.wrong("is no table"))?;
        let variable = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let name = name.get_ref();
            let bad = |text: &str| {
                Setting { value, ..self }
                    .wrong(format!("has a variable {} {text}", quoted(name.as_ref())))
            };
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(bad("that cannot be called so"));
            }
            match value.get_ref().as_str() {
                None => Err(bad("whose value is no text in quotes")),
                Some(value) if value.contains('\0') => Err(bad("with a NUL in its value")),
                Some(value) => {
                    let value = Some(format!("{name}={value}").into());
                    Ok(HopOption { key: "env".into(), value })
                }
            }
        };
        table.iter().map(variable).collect()
    }
}

/// Whether a text is nothing but a name.
fn is_name(address: &Address, text: &str) -> bool {
    match address.hops() {
        [hop] => hop.options().is_empty() && hop.target() == &Target::Named(text.to_owned()),
        _ => false,
    }
}

fn is_password(key: &str) -> bool {
    PASSWORDS.iter().any(|word| key.eq_ignore_ascii_case(word))
}

/// A place as errors call it.
pub(super) fn place(name: &str) -> String {
    format!("the place {}", quoted(name))
}
