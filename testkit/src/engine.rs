//! A real Docker engine.

mod certificates;
mod container;
mod http;
mod images;
pub(crate) mod keeper;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::Signal;
use serde_json::Value;

pub use self::certificates::Certificates;
pub use self::container::{Container, NewContainer};
pub use self::http::Answer;

use self::http::Request;
use self::keeper::{Folder, Keeper};
use crate::{DEADLINE, find_program, is_root};

/// The variable that names the engine which `cargo xtask test` has started, as `DOCKER_HOST` would.
pub const ENGINE: &str = "THITHER_ENGINE";

/// Debian's dockerd on a socket of its own, with the images `busybox` (a dynamic busybox, all applets in /bin) and
/// `empty` (nothing but /busybox and its libraries).
///
/// It lives in a pid and a mount namespace of its own, in a temporary folder and a cgroup of the folder's name. So it
/// ends as a whole, with its containers, when it is dropped or this process ends, by SIGKILL too. Only when
/// its keeper is killed as well, the folder and empty cgroups are left; whoever next starts one removes them.
/// Process ids that it tells are those of its namespace: see [`Container::processes`]. Mounts that are made outside
/// after its start are not seen inside.
///
/// Its containers have no network, but see [`Setup::bridge`].
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
    /// An empty folder for the docker CLI's settings.
    config: tempfile::TempDir,
    tls: Option<Tls>,
    /// The network of its containers, where the default one cannot be had.
    network: Option<&'static str>,
    /// Of one that we have not started there is none.
    keeper: Option<Keeper>,
}

/// What an engine is to have besides its socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Also TCP on loopback, with TLS, for clients with a certificate.
    pub tls: bool,
    /// A network namespace of its own, with a bridge, so that containers have a network and publish ports there:
    /// see [`Engine::enter_network`].
    pub bridge: bool,
    /// Where its folder is made, if not in the folder for temporary files.
    pub parent: Option<&'static Path>,
}

/// How an engine is reached by TLS.
#[derive(Debug)]
pub struct Tls {
    port: u16,
    certificates: Certificates,
}

impl Tls {
    /// As for `DOCKER_HOST`: `tcp://127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// The certificates; their folder is for `DOCKER_CERT_PATH`.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

impl Engine {
    /// The engine for all tests that do not disturb it: that of `cargo xtask test`, which the variable [`ENGINE`]
    /// names, else one of this process, started once.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn shared() -> Result<&'static Engine, String> {
        static SHARED: OnceLock<Result<Engine, String>> = OnceLock::new();
        let engine = SHARED.get_or_init(|| match std::env::var(ENGINE) {
            Ok(host) => Engine::at(&host),
            Err(_) => Engine::own(),
        });
        engine.as_ref().map_err(Clone::clone)
    }

    /// An engine of one's own, to be killed and restarted.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn own() -> Result<Engine, String> {
        Engine::with(Setup::default())
    }

    /// An engine of one's own with more than a socket.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn with(setup: Setup) -> Result<Engine, String> {
        Engine::start(setup).map_err(|reason| format!("no Docker engine: {reason}"))
    }

    /// Podman's service instead of dockerd, with the same images and containers without a network. What
    /// [`kill`](Engine::kill) and the like say of dockerd holds for it, but containers do not end with it.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn podman() -> Result<Engine, String> {
        let start = || {
            may_start()?;
            let keeper = podman()?;
            Engine::of(keeper, None, Some("none"))
        };
        start().map_err(|reason: String| format!("no Podman: {reason}"))
    }

    fn start(setup: Setup) -> Result<Engine, String> {
        may_start()?;
        let mut driver = "overlay2";
        // Somebody else may take the port before dockerd does.
        let mut ports = 5;
        let (keeper, tls) = loop {
            match dockerd(setup, driver) {
                Ok(started) => break started,
                Err(reason) if reason.contains("graphdriver") && driver != "vfs" => driver = "vfs",
                Err(reason) if reason.contains("address already in use") && ports > 0 => ports -= 1,
                Err(reason) => return Err(reason),
            }
        };
        Engine::of(keeper, tls, None)
    }

    /// Gives the images to what has been started.
    fn of(
        keeper: Keeper,
        tls: Option<Tls>,
        network: Option<&'static str>,
    ) -> Result<Engine, String> {
        let socket = keeper.path().join("sock");
        let engine = Engine { socket, config: settings()?, tls, network, keeper: Some(keeper) };
        for (name, archive) in images::images()? {
            engine.import(name, archive)?;
        }
        Ok(engine)
    }

    /// The one that a `DOCKER_HOST` of the form `unix:///path` names.
    fn at(host: &str) -> Result<Engine, String> {
        let path = host.strip_prefix("unix://").ok_or(format!("{ENGINE}={host} is no unix://"))?;
        let engine = Engine {
            socket: path.into(),
            config: settings()?,
            tls: None,
            network: None,
            keeper: None,
        };
        match answers(&engine.socket) {
            true => Ok(engine),
            false => Err(format!("the engine at {host} does not answer")),
        }
    }

    fn import(&self, name: &str, archive: &[u8]) -> Result<(), String> {
        // `CMD ["sh"]`, for those who run it without a command.
        let command = if name == "busybox" { "&changes=CMD%20%5B%22sh%22%5D" } else { "" };
        let request = Request {
            method: "POST",
            path: &format!("/images/create?fromSrc=-&repo={name}&tag=latest{command}"),
            head: "Content-Type: application/x-tar\r\n",
            body: archive,
            patience: DEADLINE,
        };
        match request.send(&self.socket) {
            // A failure may come after the head, as a line with an `error`.
            Ok(answer) if answer.is_good() && !answer.text().contains("\"error\"") => Ok(()),
            Ok(answer) => Err(format!("cannot import {name}: {}", answer.text())),
            Err(error) => Err(format!("cannot import {name}: {error}")),
        }
    }

    /// Pushes an image to its registry; the engine's messages, of which one has an `error` where it failed.
    #[track_caller]
    pub(crate) fn push(&self, repository: &str, tag: &str, authorization: &str) -> String {
        let path = format!("/images/{repository}/push?tag={tag}");
        let head = format!("X-Registry-Auth: {authorization}\r\n");
        let request =
            Request { method: "POST", path: &path, head: &head, body: b"", patience: DEADLINE };
        let answer = request.send(&self.socket);
        answer.unwrap_or_else(|error| panic!("cannot push {repository}: {error}")).text()
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// As for `DOCKER_HOST`: `unix:///path`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// How it is reached by TLS, with [`Setup::tls`].
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The docker CLI of docker.io, with this engine and nobody's settings.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn command(&self) -> Command {
        let debian = PathBuf::from("/usr/bin/docker");
        let docker = match debian.exists() {
            true => debian,
            false => find_program("docker").expect("the docker CLI comes with dockerd"),
        };
        let mut command = Command::new(docker);
        let others = ["CONTEXT", "TLS", "TLS_VERIFY", "CERT_PATH", "API_VERSION"];
        for name in others {
            command.env_remove(format!("DOCKER_{name}"));
        }
        command.env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", self.config.path());
        command
    }

    /// Runs the docker CLI, and returns what it wrote to stdout.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        let mut command = self.command();
        let output = command.args(args).output().unwrap_or_else(|error| panic!("docker: {error}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command that runs a program in the network namespace of an engine with a bridge.
    ///
    /// # Panics
    /// When it is not an engine of one's own, or does not run.
    #[must_use]
    #[track_caller]
    pub fn enter_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper().pid())).arg(program);
        command
    }

    /// A request of the Engine API, as `("GET", "/containers/json?all=1", None)`.
    ///
    /// # Panics
    /// When the engine does not answer.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let answer = self.send(method, path, body, DEADLINE);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> io::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        Request { method, path, head, body: body.as_bytes(), patience }.send(&self.socket)
    }

    #[track_caller]
    fn good(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let answer = self.request(method, path, body);
        assert!(answer.is_good(), "{method} {path}: {} {}", answer.status, answer.text());
        answer
    }

    /// Asks, and returns the answer's JSON.
    ///
    /// # Panics
    /// When the status is not 2xx.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        self.good("GET", path, None).json()
    }

    /// Posts JSON, or nothing for null, and returns the answer's JSON; null for an empty one.
    ///
    /// # Panics
    /// When the status is not 2xx.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.good("POST", path, Some(body).filter(|body| !body.is_null())).json()
    }

    /// A container of the image `busybox` with a unique name, to be created or started.
    pub fn container(&self, argv: &[&str]) -> NewContainer<'_> {
        NewContainer::new(self, argv)
    }
}

/// For an engine of one's own alone: the methods panic for the shared one.
impl Engine {
    #[track_caller]
    fn keeper(&self) -> &Keeper {
        self.keeper.as_ref().expect("an engine of one's own")
    }

    /// Ends dockerd by SIGKILL, and waits for its end. Containers live on.
    #[track_caller]
    pub fn kill(&self) {
        self.keeper().end(Signal::KILL);
    }

    /// Ends dockerd by SIGTERM, and waits for its end. It ends its containers first, by SIGTERM, and after 10 seconds by
    /// SIGKILL.
    #[track_caller]
    pub fn stop(&self) {
        self.keeper().end(Signal::TERM);
    }

    /// Stops dockerd by SIGSTOP: connections are still accepted, by the kernel.
    #[track_caller]
    pub fn pause(&self) {
        self.keeper().pause();
    }

    /// Lets it go on.
    #[track_caller]
    pub fn resume(&self) {
        self.keeper().signal(Signal::CONT);
    }

    /// Starts dockerd again after [`kill`](Engine::kill) or [`stop`](Engine::stop), and waits until it answers.
    #[track_caller]
    pub fn restart(&mut self) {
        let keeper = self.keeper.as_mut().expect("an engine of one's own");
        keeper.restart();
        keeper.wait_for(|| answers(&self.socket)).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// An empty folder for the docker CLI's settings.
fn settings() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))
}

/// Starts dockerd, and waits until it answers.
fn dockerd(setup: Setup, driver: &str) -> Result<(Keeper, Option<Tls>), String> {
    let program = find_program("dockerd")?;
    let folder = match setup.parent {
        Some(parent) => Folder::below(parent)?,
        None => Folder::new()?,
    };
    let path = folder.path().to_path_buf();
    // The system's own settings must not count.
    fs::write(path.join("daemon.json"), "{}").map_err(|error| format!("{path:?}: {error}"))?;
    let mut daemon = keeper::daemon(&program);
    for (name, inside) in [
        ("--config-file", "daemon.json"),
        ("--data-root", "data"),
        ("--exec-root", "exec"),
        ("--pidfile", "pid"),
    ] {
        daemon.arg(name).arg(path.join(inside));
    }
    let socket = path.join("sock");
    let cgroup = path.file_name().unwrap_or_default().to_string_lossy();
    daemon.args(["--storage-driver", driver, "--cgroup-parent", &format!("/{cgroup}")]);
    daemon.args(["--iptables=false", "--ip6tables=false"]);
    daemon.args((!setup.bridge).then_some("--bridge=none"));
    daemon.args(["-H", &format!("unix://{}", socket.display())]);
    let tls = match setup.tls {
        true => Some(Tls { port: free_port()?, certificates: Certificates::new()? }),
        false => None,
    };
    if let Some(tls) = &tls {
        let folder = tls.certificates.path();
        daemon.args(["-H", &tls.host(), "--tlsverify", "--tlscacert"]).arg(folder.join("ca.pem"));
        daemon.arg("--tlscert").arg(folder.join("server-cert.pem"));
        daemon.arg("--tlskey").arg(folder.join("server-key.pem"));
    }
    let settings = std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| name.starts_with("DOCKER_")));
    for (name, _) in settings {
        daemon.env_remove(name);
    }
    let mut keeper = Keeper::start(folder, setup.bridge, &daemon)?;
    keeper.wait_for(|| answers(&socket))?;
    Ok((keeper, tls))
}

/// Starts Podman's service, and waits until it answers.
fn podman() -> Result<Keeper, String> {
    let program = find_program("podman")?;
    // crun refuses where both versions of cgroups are mounted.
    find_program("runc")?;
    let folder = Folder::new()?;
    let path = folder.path().to_path_buf();
    let mut service = keeper::daemon(&program);
    for (name, inside) in [("--root", "data"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        service.arg(name).arg(path.join(inside));
    }
    service.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
    let socket = path.join("sock");
    let host = format!("unix://{}", socket.display());
    service.args(["system", "service", "--time=0", &host]);
    let mut keeper = Keeper::start(folder, false, &service)?;
    keeper.wait_for(|| answers(&socket))?;
    Ok(keeper)
}

/// Why an engine could not start containers: the user, no cgroups, or none that we may use.
fn may_start() -> Result<(), String> {
    if !is_root() {
        return Err("only root can start it".into());
    }
    let folders = ["/sys/fs/cgroup/devices", "/sys/fs/cgroup"].map(Path::new);
    let found = folders.into_iter().find(|folder| {
        folder.join("cgroup.procs").exists() || folder.join("cgroup.controllers").exists()
    });
    let folder = found.ok_or("no cgroups are mounted at /sys/fs/cgroup")?;
    access(folder, Access::WRITE_OK)
        .map_err(|error| format!("the cgroups in {} cannot be used: {error}", folder.display()))
}

/// A port of 127.0.0.1 that nobody listens on now.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(|error| format!("no loopback interface: {error}"))?.port())
}

fn answers(socket: &Path) -> bool {
    let patience = Duration::from_secs(2);
    let ping = Request { method: "GET", path: "/_ping", head: "", body: b"", patience };
    ping.send(socket).is_ok_and(|answer| answer.is_good())
}

#[cfg(test)]
mod tests;
