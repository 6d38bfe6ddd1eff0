//! The options of containers and images.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use thither_docker::image::Options as ImageOptions;
use thither_docker::settings::{ConfigFile, DEFAULT_DETACH_KEYS, Selection, Settings, detach_keys};
use thither_docker::{Container, Engine, Image};
use thither_place::error::quoted;

use crate::address::{Address, Hop, Target};
use crate::connect::ConnectError;
use crate::hops;
use crate::options::{Known, Options, Value, known, list};

/// The longest file of variables, in bytes.
const MAX_ENV_FILE: u64 = 1024 * 1024;

/// What a container has besides what every place has.
pub(crate) const OF_DOCKER: &[Known] = &[
    known("privileged", Value::None),
    known("engine", Value::Some("HOST")),
    known("context", Value::Some("NAME")),
    known("plain-tcp", Value::None),
    known("detach-keys", Value::Some("KEYS")),
];

/// What a fresh container of an image has besides.
pub(crate) const OF_IMAGE: &[Known] = &[
    list("volume", "[SRC:]DEST[:OPTIONS]"),
    list("publish", "[[ADDRESS:]PORT:]PORT[/PROTOCOL]"),
    known("network", Value::Some("NETWORK")),
    known("name", Value::Some("NAME")),
    known("entrypoint", Value::Maybe("PROGRAM")),
    known("platform", Value::Some("OS/ARCH")),
    list("env-file", "FILE"),
    known("keep", Value::None),
    known("privileged", Value::None),
    known("engine", Value::Some("HOST")),
    known("context", Value::Some("NAME")),
    known("plain-tcp", Value::None),
    known("detach-keys", Value::Some("KEYS")),
];

impl Options<'_> {
    pub(crate) fn text(self, key: &str, value: &OsStr) -> Result<String, ConnectError> {
        value.to_str().map(str::to_owned).ok_or_else(|| self.bad(key, "it is not UTF-8"))
    }

    fn has(self, key: &str) -> bool {
        self.iter().any(|(known, _)| known == key)
    }

    pub(crate) fn settings(self) -> Result<Settings, ConnectError> {
        self.settings_with(None)
    }

    /// The same, where something else than what the user has set is the default engine.
    pub(crate) fn settings_with(self, engine: Option<&str>) -> Result<Settings, ConnectError> {
        let (host, plain_tcp) = (engine.map(str::to_owned), self.has("plain-tcp"));
        let mut selection = Selection { host, plain_tcp, ..Selection::default() };
        for (key, value) in self.iter() {
            match key {
                "engine" => selection.host = Some(self.text(key, value)?),
                "context" => selection.context = Some(self.text(key, value)?),
                _ => {}
            }
        }
        selection.from_env().map_err(|error| settings_error(&error.into()))
    }

    pub(crate) fn container(self, name: &str) -> Result<Container, ConnectError> {
        Ok(self.container_of(engine(&self.settings()?)?, name))
    }

    pub(crate) fn container_of(self, engine: Engine, name: &str) -> Container {
        Container::new(engine, name).privileged(self.has("privileged"))
    }

    pub(crate) fn image(self, name: &str) -> Result<Image, ConnectError> {
        let settings = self.settings()?;
        self.image_of(engine(&settings)?, settings.config, name)
    }

    pub(crate) fn image_of(
        self,
        engine: Engine,
        config: ConfigFile,
        name: &str,
    ) -> Result<Image, ConnectError> {
        let mut options = ImageOptions::default();
        for (key, value) in self.iter() {
            match key {
                "volume" => options.volumes.push(volume(self.text(key, value)?)),
                "publish" => {
                    let port = self.text(key, value)?.parse();
                    options.publish.push(port.map_err(|error| self.bad(key, format!("{error}")))?);
                }
                "network" => options.network = Some(self.text(key, value)?),
                "name" => options.name = Some(self.text(key, value)?),
                "entrypoint" => options.entrypoint = Some(self.text(key, value)?),
                "platform" => options.platform = Some(self.text(key, value)?),
                "env-file" => options.env.extend(self.env_file(value.as_ref())?),
                "keep" => options.keep = true,
                "privileged" => options.privileged = true,
                _ => {}
            }
        }
        Ok(Image::new(engine, name, config).options(options))
    }

    /// Lines `NAME=VALUE`, or `NAME` for our own value if there is one; empty ones and those that begin with `#` say
    /// nothing. As `docker run --env-file` has it. A value may be secret and is in no error.
    fn env_file(self, path: &Path) -> Result<Vec<String>, ConnectError> {
        let bad = |wrong: String| self.bad("env-file", format!("{}: {wrong}", quoted(path)));
        let is_long = fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_ENV_FILE);
        if is_long {
            return Err(bad(format!("it is longer than {MAX_ENV_FILE} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| {
            let text = error.to_string();
            bad(text.split(" (os error").next().unwrap_or_default().to_lowercase())
        })?;
        let mut variables = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim_start();
            let name = line.split('=').next().unwrap_or_default();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(bad(format!("line {} names no variable", number + 1)));
            }
            match line.contains('=') {
                true => variables.push(line.to_owned()),
                false => variables.extend(env::var(name).map(|value| format!("{name}={value}"))),
            }
        }
        Ok(variables)
    }

    fn detach_keys(self) -> Result<Vec<u8>, ConnectError> {
        for (key, value) in self.iter() {
            if key == "detach-keys" {
                let text = self.text(key, value)?;
                return detach_keys(&text).map_err(|error| self.bad(key, error.to_string()));
            }
        }
        let settings = self.settings()?;
        match settings.detach_keys.as_deref() {
            Some(keys) => detach_keys(keys).map_err(|error| settings_error(&error.into())),
            None => Ok(DEFAULT_DETACH_KEYS.to_vec()),
        }
    }
}

impl Address {
    /// The container that it leads to, if it leads to one: to attach to its main process, say.
    ///
    /// # Errors
    /// As [`connect`](Address::connect).
    pub fn container(&self) -> Result<Option<Container>, ConnectError> {
        let address = self.resolved()?;
        let Some((hop, Target::Docker(name))) = address.last_hop() else { return Ok(None) };
        let options = Options::of(hop, OF_DOCKER)?;
        let (engine, _) = hops::engine_of(address.hops(), options)?;
        Ok(Some(options.container_of(engine, name)))
    }

    /// The image that it leads to, if it leads to one: to bring it here and tell how far that is, say.
    ///
    /// # Errors
    /// As [`connect`](Address::connect).
    pub fn image(&self) -> Result<Option<Image>, ConnectError> {
        let address = self.resolved()?;
        let Some((hop, Target::Image(name))) = address.last_hop() else { return Ok(None) };
        let options = Options::of(hop, OF_IMAGE)?;
        let (engine, settings) = hops::engine_of(address.hops(), options)?;
        options.image_of(engine, settings.config, name).map(Some)
    }

    /// The keys that let go of a process there, in bytes: those of the option `detach-keys`, else of the user's settings
    /// for Docker, else ctrl-p ctrl-q. `None` where nothing outlives us.
    ///
    /// # Errors
    /// When they are badly written.
    pub fn detach_keys(&self) -> Result<Option<Vec<u8>>, ConnectError> {
        match self.resolved()?.last_hop() {
            Some((hop, Target::Docker(_))) => Options::of(hop, OF_DOCKER)?.detach_keys().map(Some),
            Some((hop, Target::Image(_))) => Options::of(hop, OF_IMAGE)?.detach_keys().map(Some),
            _ => Ok(None),
        }
    }

    fn last_hop(&self) -> Option<(&Hop, &Target)> {
        self.hops().last().map(|hop| (hop, hop.target()))
    }
}

/// The engine of the user's settings, or of this host or context.
///
/// # Errors
/// When the settings are bad.
pub(crate) fn engine(settings: &Settings) -> Result<Engine, ConnectError> {
    Engine::of(settings).map_err(|error| settings_error(&error))
}

fn settings_error(error: &thither_docker::Error) -> ConnectError {
    let mut what = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        what = format!("{what}: {error}");
        source = error.source();
    }
    ConnectError::Settings { what, hint: error.hint() }
}

/// The engine takes only absolute paths for those of its machine.
fn volume(text: String) -> String {
    match (text.starts_with('.'), env::current_dir()) {
        (true, Ok(here)) => {
            let (source, rest) = text.split_once(':').unwrap_or((&text, ""));
            let source = here.join(source);
            format!("{}:{rest}", source.display())
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check_bad(address: &str, expected: Expect) {
        let error = Address::parse(address).unwrap().connect().err().expect("it is bad");
        expected.assert_eq(&format!("{error}; {}", error.hint().unwrap_or_default()));
    }

    #[test]
    fn bad_values() {
        check_bad(
            "image:x?publish=http",
            expect![
                "bad option `publish` of `image:x`: `http` is no port: 1 to 65535; write `publish=[[ADDRESS:]PORT:]PORT[/PROTOCOL]`"
            ],
        );
        check_bad(
            "image:x?env-file=/nonexistent",
            expect![
                "bad option `env-file` of `image:x`: `/nonexistent`: no such file or directory; write `env-file=FILE`"
            ],
        );
        check_bad(
            "docker:x?volume=/x",
            expect![
                "`docker:x` has no option `volume`; known options: `privileged`, `engine`, `context`, `plain-tcp`, `detach-keys`, `user`, `dir`, `env`, `clear-env`"
            ],
        );
    }

    #[test]
    fn files_of_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        let address = Address::parse(format!("image:x?env-file={}", file.display())).unwrap();
        let check = |text: &str, expected: Result<&[&str], &str>| {
            fs::write(&file, text).unwrap();
            let options = Options::of(&address.hops()[0], OF_IMAGE).unwrap();
            let found = options.env_file(&file).map_err(|error| error.to_string());
            match expected {
                Ok(expected) => assert_eq!(found.unwrap(), expected),
                Err(words) => {
                    assert!(found.as_ref().is_err_and(|e| e.contains(words)), "{found:?}")
                }
            }
        };
        check("A=1\n\n# no\n  B=x = y\nTHITHER_UNSET\n", Ok(&["A=1", "B=x = y"]));
        check("=SECRET", Err("line 1 names no variable"));
        check("ok=1\na b=SECRET", Err("line 2 names no variable"));
    }

    #[test]
    fn keys() {
        let keys = |address: &str| Address::parse(address).unwrap().detach_keys();
        assert_eq!(keys("local:").unwrap(), None);
        assert_eq!(keys("docker:x?detach-keys=ctrl-a%2Cd").unwrap().unwrap(), b"\x01d");
        assert!(keys("image:x?detach-keys=ctrl-1").is_err());
    }
}
