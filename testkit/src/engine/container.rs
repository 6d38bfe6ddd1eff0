//! Containers of tests.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::unframed;
use crate::watch::all_processes;
use crate::{DEADLINE, Engine};

/// A container to be: [`Engine::container`] begins it, [`create`](NewContainer::create) or
/// [`start`](NewContainer::start) makes it.
#[derive(Debug)]
#[must_use = "it is made by `create` or `start`"]
pub struct NewContainer<'e> {
    engine: &'e Engine,
    name: String,
    body: Value,
}

impl<'e> NewContainer<'e> {
    pub(super) fn new(engine: &'e Engine, argv: &[&str]) -> NewContainer<'e> {
        let mut body = json!({"Image": "busybox", "Cmd": argv});
        if let Some(network) = engine.network {
            body["HostConfig"] = json!({"NetworkMode": network});
        }
        NewContainer { engine, name: unique_name(), body }
    }

    /// With a terminal.
    pub fn tty(self) -> Self {
        self.with(json!({"Tty": true}))
    }

    /// With its standard input open, also after whoever is attached has left.
    pub fn stdin_open(self) -> Self {
        self.with(json!({"OpenStdin": true, "AttachStdin": true}))
    }

    /// By this name, of at least two letters, instead of a unique one.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// From this image instead of `busybox`.
    pub fn image(self, image: &str) -> Self {
        self.with(json!({"Image": image}))
    }

    /// With a variable in its environment, besides those that were given before.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let variable = Value::String(format!("{name}={value}"));
        match &mut self.body["Env"] {
            Value::Array(variables) => variables.push(variable),
            other => *other = Value::Array(vec![variable]),
        }
        self
    }

    /// With more in the body of the request: objects are merged, null removes, all else replaces (RFC 7386).
    pub fn with(mut self, patch: Value) -> Self {
        merge(&mut self.body, patch);
        self
    }

    /// Creates it, without starting it.
    ///
    /// # Panics
    /// When the engine refuses.
    #[track_caller]
    #[must_use]
    pub fn create(self) -> Container<'e> {
        let path = format!("/containers/create?name={}", self.name);
        let id = text(&self.engine.post(&path, &self.body)["Id"]);
        Container { engine: self.engine, name: self.name, id }
    }

    /// Creates and starts it.
    ///
    /// # Panics
    /// When the engine refuses.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Container<'e> {
        let container = self.create();
        container.start();
        container
    }
}

/// A name that no other test of any process uses.
fn unique_name() -> String {
    format!("test-{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Merges as RFC 7386 does.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match (value, target.as_object_mut()) {
            (Value::Null, Some(target)) => drop(target.remove(&name)),
            (value, _) => merge(&mut target[&name], value),
        }
    }
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// A container; removed, running or not, when it is dropped.
#[derive(Debug)]
pub struct Container<'e> {
    engine: &'e Engine,
    name: String,
    id: String,
}

/// The methods panic when the engine refuses.
impl<'e> Container<'e> {
    /// One that someone else has made, by its name or id; it too is removed on drop.
    #[track_caller]
    #[must_use]
    pub fn adopt(engine: &'e Engine, name: &str) -> Container<'e> {
        let inspected = engine.get(&format!("/containers/{name}/json"));
        let name = text(&inspected["Name"]).trim_start_matches('/').to_owned();
        Container { engine, name, id: text(&inspected["Id"]) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id: 64 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[track_caller]
    fn post(&self, what: &str) -> Value {
        self.engine.post(&format!("/containers/{}/{what}", self.id), &Value::Null)
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) {
        self.post("start");
    }

    /// Ends it by SIGKILL, and waits for its end.
    #[track_caller]
    pub fn stop(&self) {
        self.post("stop?t=0");
    }

    /// Freezes its processes.
    #[track_caller]
    pub fn pause(&self) {
        self.post("pause");
    }

    /// Lets them go on.
    #[track_caller]
    pub fn unpause(&self) {
        self.post("unpause");
    }

    /// Removes it now.
    #[track_caller]
    pub fn remove(self) {
        let answer = self.engine.request("DELETE", &self.removal(), None);
        assert!(answer.is_good(), "cannot remove {}: {}", self.name, answer.text());
    }

    fn removal(&self) -> String {
        format!("/containers/{}?force=1&v=1", self.id)
    }

    /// What the engine says about it.
    #[track_caller]
    #[must_use]
    pub fn inspect(&self) -> Value {
        self.engine.get(&format!("/containers/{}/json", self.id))
    }

    /// Whether it runs (a paused one does).
    #[track_caller]
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inspect()["State"]["Running"] == true
    }

    /// Waits for its end, and returns the exit code.
    #[track_caller]
    pub fn wait(&self) -> i64 {
        self.post("wait")["StatusCode"].as_i64().expect("an exit code")
    }

    /// What it has written so far to stdout and stderr, in the engine's order.
    #[track_caller]
    #[must_use]
    pub fn logs(&self) -> String {
        let path = format!("/containers/{}/logs?stdout=1&stderr=1", self.id);
        let body = self.engine.good("GET", &path, None).body;
        let tty = self.inspect()["Config"]["Tty"] == true;
        let bytes = if tty { body } else { unframed(&body) };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs a command in it, without a terminal. The exit code, and stdout and stderr in the engine's order.
    #[track_caller]
    #[must_use]
    pub fn exec(&self, argv: &[&str]) -> (i64, String) {
        let exec = json!({"Cmd": argv, "AttachStdout": true, "AttachStderr": true});
        let path = format!("/containers/{}/exec", self.id);
        let id = text(&self.engine.post(&path, &exec)["Id"]);
        let start = json!({"Detach": false, "Tty": false});
        let stream = self.engine.good("POST", &format!("/exec/{id}/start"), Some(&start)).body;
        let output = String::from_utf8_lossy(&unframed(&stream)).into_owned();
        let code = || self.engine.get(&format!("/exec/{id}/json"))["ExitCode"].as_i64();
        // The stream ends before the engine has taken note of the exit.
        let mut found = code();
        crate::wait_until(DEADLINE, "the exit code of an exec", || {
            found = found.or_else(code);
            found.is_some()
        });
        (found.expect("waited for"), output)
    }

    /// All processes in it, as seen from here, in order. (`State.Pid` is a number of the engine's pid namespace.)
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        all_processes(|process: &Path| {
            fs::read_to_string(process.join("cgroup")).is_ok_and(|text| text.contains(&self.id))
        })
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // It may be gone, and so may the engine.
        let _ = self.engine.send("DELETE", &self.removal(), None, Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches() {
        let mut body = json!({"Cmd": ["a"], "HostConfig": {"Memory": 1, "Privileged": true}});
        merge(&mut body, json!({"Cmd": ["b"], "HostConfig": {"Memory": null, "Init": true}}));
        assert_eq!(body, json!({"Cmd": ["b"], "HostConfig": {"Privileged": true, "Init": true}}));
    }

    #[test]
    fn a_life() {
        let engine = match Engine::shared() {
            Ok(engine) => engine,
            Err(reason) => crate::skip!("{reason}"),
        };
        let script = "echo out; echo err >&2; read -r code; exit $code";
        let container = engine.container(&["sh", "-c", script]).stdin_open().env("A", "b").create();
        assert!(!container.is_running());
        container.start();
        assert!(container.is_running());
        crate::wait_until(DEADLINE, "its output", || {
            let logs = container.logs();
            let mut lines: Vec<&str> = logs.lines().collect();
            lines.sort_unstable();
            lines == ["err", "out"]
        });
        let echo = ["sh", "-c", "echo $A >&2; exit 3"];
        assert_eq!(container.exec(&echo), (3, "b\n".into()));
        let processes = container.processes();
        assert_eq!(processes.len(), 1, "{processes:?}");
        container.pause();
        assert_eq!(container.inspect()["State"]["Paused"], true);
        container.unpause();
        container.stop();
        assert_eq!((container.wait(), container.is_running()), (137, false));
        assert_eq!(container.processes(), [0; 0]);
        let name = container.name().to_owned();
        let inspect = || engine.request("GET", &format!("/containers/{name}/json"), None).status;
        assert_eq!(inspect(), 200);
        drop(container);
        assert_eq!(inspect(), 404);
    }

    #[test]
    fn one_without_a_shell_and_one_of_someone_else() {
        let engine = match Engine::shared() {
            Ok(engine) => engine,
            Err(reason) => crate::skip!("{reason}"),
        };
        let argv = ["/busybox", "sh", "-c", "/busybox ls /; sh"];
        let container = engine.container(&argv).image("empty").tty().start();
        assert_eq!(container.wait(), 127);
        let logs = container.logs();
        assert!(logs.starts_with("busybox"), "{logs}");
        assert!(logs.contains("sh: not found") && !logs.contains(" bin "), "{logs}");
        let mut other = Container::adopt(engine, container.id());
        assert_eq!(other.name(), container.name());
        other.name.clear();
        other.remove();
        assert_eq!(
            engine.request("POST", &format!("/containers/{}/start", container.id()), None).status,
            404
        );
    }
}
