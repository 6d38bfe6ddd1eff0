//! A service manager of Windows behind a pipe of Samba's: a program in Python, with services that are in memory alone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Its program.
const SCRIPT: &str = include_str!("services.py");
/// The Python that Debian's packages are for.
const PYTHON: &str = "/usr/bin/python3";

/// A service manager. It goes when it is dropped.
#[derive(Debug)]
pub struct Services {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Services {
    pub(super) fn listen(socket: &Path) -> Result<Services, String> {
        let has_impacket = Command::new(PYTHON)
            .args(["-c", "import impacket"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_impacket {
            return Err("python3-impacket is missing".into());
        }
        let mut child = Command::new(PYTHON)
            .args(["-c", SCRIPT])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut services = Services { child, input, output };
        assert_eq!(services.line(), "listening\n");
        Ok(services)
    }

    /// Tells it something, in JSON: `{"fail": {"12": 5}}` for calls that end with a code, `{"fail": {"19": "drop"}}` with the end of
    /// the connection once they are done, `{"fail": {"2": "fault"}}` with a fault; `{"fragment": 64}` for the longest fragment;
    /// `{"crash": true}` for services that stop by themselves; `{"slow": true}` for those that never run; `{"services": {...}}` for those that are there.
    ///
    /// # Panics
    /// When anything was wrong with a call until now.
    pub fn tell(&mut self, wishes: &str) {
        self.ask(wishes);
    }

    /// The services that it has, in JSON.
    ///
    /// # Panics
    /// As [`tell`](Services::tell).
    pub fn all(&mut self) -> String {
        self.ask("{}")["services"].to_string()
    }

    /// The calls so far, their numbers and arguments in JSON, each in a line.
    ///
    /// # Panics
    /// As [`tell`](Services::tell).
    pub fn calls(&mut self) -> String {
        let told = self.ask("{}");
        let calls = told["calls"].as_array().into_iter().flatten();
        calls.map(|call| format!("{call}\n")).collect()
    }

    fn ask(&mut self, wishes: &str) -> Value {
        let input = self.input.as_mut().expect("it listens");
        writeln!(input, "{wishes}").expect("it reads");
        let told: Value = serde_json::from_str(&self.line()).expect("JSON");
        assert_eq!(told["wrong"], serde_json::json!([]), "{:#}", told["wrong"]);
        told
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
