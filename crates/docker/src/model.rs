//! The parts of the API's JSON that we read and write, by its own names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `POST /containers/{id}/exec`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExecCreate {
    pub(crate) attach_stdin: bool,
    pub(crate) attach_stdout: bool,
    pub(crate) attach_stderr: bool,
    pub(crate) tty: bool,
    pub(crate) cmd: Vec<String>,
    pub(crate) env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detach_keys: Option<String>,
    pub(crate) privileged: bool,
}

/// `POST /exec/{id}/start`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExecStart {
    pub(crate) detach: bool,
    pub(crate) tty: bool,
    /// Rows, columns. Since 1.42.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) console_size: Option<[u16; 2]>,
}

/// What names what was made.
#[derive(Debug, Deserialize)]
pub(crate) struct Made {
    #[serde(rename = "Id")]
    pub(crate) id: String,
    #[serde(rename = "Warnings", default)]
    pub(crate) warnings: Option<Vec<String>>,
}

/// `GET /exec/{id}/json`.
#[derive(Debug, Deserialize)]
pub(crate) struct ExecState {
    #[serde(rename = "Running")]
    pub(crate) running: bool,
    #[serde(rename = "ExitCode")]
    pub(crate) exit_code: Option<i32>,
    /// In the engine's own pid namespace; 0 when it was never started.
    #[serde(rename = "Pid", default)]
    pub(crate) pid: u32,
    #[serde(rename = "ContainerID", default)]
    pub(crate) container: String,
    #[serde(rename = "ProcessConfig", default)]
    pub(crate) process: ExecProcess,
}

/// What an exec runs.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ExecProcess {
    #[serde(default)]
    pub(crate) tty: bool,
    #[serde(default)]
    pub(crate) user: String,
}

/// `GET /containers/{id}/json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Inspected {
    #[serde(rename = "Id")]
    pub(crate) id: String,
    #[serde(rename = "State")]
    pub(crate) state: State,
    #[serde(rename = "Config")]
    pub(crate) config: Config,
    #[serde(rename = "HostConfig", default)]
    pub(crate) host: Host,
    #[serde(rename = "Mounts", default)]
    pub(crate) mounts: Option<Vec<Mount>>,
}

/// What its machine gives it, as far as we look.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Host {
    /// Their paths, and options.
    #[serde(rename = "Tmpfs", default)]
    pub(crate) tmpfs: Option<BTreeMap<String, String>>,
    #[serde(rename = "LogConfig", default)]
    pub(crate) log: Log,
    /// What root in it may not do, of what it usually may.
    #[serde(rename = "CapDrop", default)]
    pub(crate) cap_drop: Option<Vec<String>>,
    #[serde(rename = "ReadonlyRootfs", default)]
    pub(crate) is_read_only: bool,
}

/// Where its output is kept.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Log {
    /// The driver; `none` keeps nothing.
    #[serde(rename = "Type", default)]
    pub(crate) driver: String,
}

/// Something mounted in it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mount {
    #[serde(rename = "Type", default)]
    pub(crate) kind: String,
    #[serde(rename = "Destination", default)]
    pub(crate) destination: String,
}

/// Whether it runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct State {
    pub(crate) running: bool,
    #[serde(default)]
    pub(crate) paused: bool,
    #[serde(default)]
    pub(crate) restarting: bool,
    #[serde(default)]
    pub(crate) exit_code: i32,
}

/// What it was made with. An image has the same.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(rename = "Tty", default)]
    pub(crate) tty: bool,
    #[serde(rename = "OpenStdin", default)]
    pub(crate) open_stdin: bool,
    #[serde(rename = "StdinOnce", default)]
    pub(crate) stdin_once: bool,
    #[serde(rename = "AttachStdin", default)]
    pub(crate) attach_stdin: bool,
    #[serde(rename = "AttachStdout", default)]
    pub(crate) attach_stdout: bool,
    #[serde(rename = "AttachStderr", default)]
    pub(crate) attach_stderr: bool,
    #[serde(rename = "Env", default)]
    pub(crate) env: Option<Vec<String>>,
    #[serde(rename = "Cmd", default)]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(rename = "Entrypoint", default)]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(rename = "WorkingDir", default)]
    pub(crate) working_dir: String,
}

/// `GET /images/{name}/json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Image {
    #[serde(rename = "Config", default)]
    pub(crate) config: Option<Config>,
}

/// `POST /containers/{id}/wait`.
#[derive(Debug, Deserialize)]
pub(crate) struct Waited {
    #[serde(rename = "StatusCode")]
    pub(crate) code: i32,
    #[serde(rename = "Error", default)]
    pub(crate) error: Option<WaitError>,
}

/// Why nobody knows the code.
#[derive(Debug, Deserialize)]
pub(crate) struct WaitError {
    #[serde(rename = "Message", default)]
    pub(crate) message: String,
}

/// `GET /containers/json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listed {
    #[serde(rename = "Id")]
    pub(crate) id: String,
    #[serde(rename = "Names", default)]
    pub(crate) names: Option<Vec<String>>,
    #[serde(rename = "Image", default)]
    pub(crate) image: String,
    #[serde(rename = "State", default)]
    pub(crate) state: String,
    #[serde(rename = "Status", default)]
    pub(crate) status: String,
}

/// The header `X-Docker-Container-Path-Stat` of the archive's `HEAD`, in base64.
#[derive(Debug, Deserialize)]
pub(crate) struct PathStat {
    /// As Go has it: see [`PathStat::is_directory`].
    pub(crate) mode: u32,
    /// What a link leads to.
    #[serde(rename = "linkTarget", default)]
    pub(crate) link_target: String,
}

impl PathStat {
    /// Go's `fs.ModeDir`.
    pub(crate) fn is_directory(&self) -> bool {
        self.mode & (1 << 31) != 0
    }

    /// Go's `fs.ModeSymlink`.
    pub(crate) fn is_link(&self) -> bool {
        self.mode & (1 << 27) != 0
    }
}
