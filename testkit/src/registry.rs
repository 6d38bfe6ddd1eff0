//! A real registry of images.

use std::fs;
use std::net::TcpStream;

use serde_json::Value;

use crate::engine::keeper::{Folder, Keeper, daemon};
use crate::{Engine, find_program};

/// Debian's docker-registry on a free port of 127.0.0.1, for one user; ends when it is dropped or this process ends.
///
/// Engines reach it without TLS, as it is on loopback (not those with [`Setup::bridge`](crate::Setup), whose loopback
/// is their own).
#[derive(Debug)]
pub struct Registry {
    port: u16,
    _keeper: Keeper,
}

/// [`Registry::USER`] and the bcrypt hash of [`Registry::PASSWORD`], of the least cost, as htpasswd(1) writes it.
const HTPASSWD: &str = "user:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

/// `{"username":"user","password":"secret"}` in Base64 (RFC 4648), for the header `X-Registry-Auth`.
const AUTHORIZATION: &str = "eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6InNlY3JldCJ9";

impl Registry {
    /// The user's name.
    pub const USER: &str = "user";
    /// The user's password.
    pub const PASSWORD: &str = "secret";

    /// Starts it with nothing in it.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn start() -> Result<Registry, String> {
        let program = find_program("docker-registry")?;
        let folder = Folder::new().map_err(|reason| format!("no registry: {reason}"))?;
        let path = folder.path().to_path_buf();
        let configuration = format!(
            "version: 0.1\nlog: {{formatter: text}}\nhttp: {{addr: '127.0.0.1:0'}}\n\
             storage: {{filesystem: {{rootdirectory: '{0}/data'}}}}\n\
             auth: {{htpasswd: {{realm: tests, path: '{0}/htpasswd'}}}}\n",
            path.display()
        );
        for (name, text) in [("config.yml", configuration.as_str()), ("htpasswd", HTPASSWD)] {
            fs::write(path.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        let mut command = daemon(&program);
        command.arg("serve").arg(path.join("config.yml"));
        let mut keeper = Keeper::start(folder, false, &command)?;
        let log = path.join("log");
        let mut port = None;
        keeper.wait_for(|| {
            port = port_in(&fs::read_to_string(&log).unwrap_or_default());
            port.is_some_and(|port| TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok(Registry { port: port.expect("waited for"), _keeper: keeper })
    }

    /// As images' names begin: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes an image of an engine by another name, as `some/name:tag`, and returns by which it can be pulled:
    /// `127.0.0.1:PORT/some/name:tag`. The engine does not keep that name.
    ///
    /// # Panics
    /// When the engine or the registry refuses.
    #[track_caller]
    pub fn push(&self, engine: &Engine, image: &str, name: &str) -> String {
        let (path, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let repository = format!("{}/{path}", self.address());
        let reference = format!("{repository}:{tag}");
        engine.post(&format!("/images/{image}/tag?repo={repository}&tag={tag}"), &Value::Null);
        let said = engine.push(&repository, tag, AUTHORIZATION);
        let answer = engine.request("DELETE", &format!("/images/{reference}"), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!said.contains("\"error\""), "cannot push {reference}: {said}");
        reference
    }
}

/// The port in `level=info msg="listening on 127.0.0.1:40123" ...`.
fn port_in(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("listening on 127.0.0.1:")?;
    // Without the quote, the line is not whole.
    rest.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_pulled_with_the_password_alone() {
        let (engine, registry) = match (Engine::shared(), Registry::start()) {
            (Ok(engine), Ok(registry)) => (engine, registry),
            (Err(reason), _) | (_, Err(reason)) => crate::skip!("{reason}"),
        };
        let reference = registry.push(engine, "busybox", "some/box:one");
        assert_eq!(engine.request("GET", &format!("/images/{reference}/json"), None).status, 404);
        let docker = |args: &[&str], config: &std::path::Path| {
            let mut docker = engine.command();
            let output = docker.args(args).env("DOCKER_CONFIG", config).output().unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let config = tempfile::tempdir().unwrap();
        let (pulled, said) = docker(&["pull", &reference], config.path());
        assert!(!pulled && said.contains("no basic auth credentials"), "{said}");
        let address = registry.address();
        let login = ["login", "-u", Registry::USER, "-p", Registry::PASSWORD, &address];
        let (logged_in, said) = docker(&login, config.path());
        assert!(logged_in, "{said}");
        let (pulled, said) = docker(&["pull", &reference], config.path());
        assert!(pulled, "{said}");
        engine.docker(&["rmi", &reference]);
    }

    #[test]
    fn ports() {
        assert_eq!(port_in("x msg=\"listening on 127.0.0.1:4012\" y"), Some(4012));
        assert_eq!(port_in("x msg=\"listening on 127.0.0.1:40"), None);
        assert_eq!(port_in(""), None);
    }
}
