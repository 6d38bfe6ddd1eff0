//! From a user's settings to an engine.

use crate::dial::Dial;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::settings::{Host, Selection, Settings};

impl Engine {
    /// The engine that this process's environment and the user's settings name; see [`settings`](crate::settings).
    ///
    /// # Errors
    /// When they are bad, or the files for TLS are.
    pub fn from_env() -> Result<Engine> {
        Engine::of(&Selection::default().from_env()?)
    }

    /// The engine of these settings.
    ///
    /// # Errors
    /// When the files for TLS are bad, or this build has no TLS.
    pub fn of(settings: &Settings) -> Result<Engine> {
        let dial = match (&settings.host, &settings.tls) {
            (Host::Unix(path), _) => Dial::Unix(path.clone()),
            (Host::Tcp { host, port }, None) => Dial::Tcp { host: host.clone(), port: *port },
            #[cfg(feature = "tls")]
            (Host::Tcp { host, port }, Some(tls)) => {
                let certificates = thither_place::tls::Certificates::from(tls);
                let config = certificates.config().map_err(|error| Error::Tls {
                    engine: settings.host.to_string(),
                    hint: error.hint().map(str::to_owned),
                    source: Box::new(error),
                })?;
                Dial::Tls { host: host.clone(), port: *port, config }
            }
            #[cfg(not(feature = "tls"))]
            (Host::Tcp { .. }, Some(_)) => {
                return Err(Error::Unsupported {
                    action: "speak TLS: this build is without the feature `tls`".into(),
                    hint: None,
                });
            }
        };
        let headers = settings.http_headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        Ok(Engine::new(settings.host.to_string(), dial).headers(headers))
    }
}
