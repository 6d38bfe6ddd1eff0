//! A program that does a round when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::Result;

/// The longest round. Some peers open 200 connections in ten seconds on a machine of their own.
const ROUND: Duration = Duration::from_secs(180);
/// How long it may take to close its connections.
const END: Duration = Duration::from_secs(10);

/// It has a group of processes of its own, which ends with it: some peers leave interpreters behind.
pub(super) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it says about itself.
    pub(super) version: String,
    /// After which no answer belongs to its question.
    lost: Option<String>,
    round: Duration,
}

impl Worker {
    /// Starts it, and waits until it says what it is.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn start(argv: &[String]) -> Result<Worker> {
        Worker::with_deadline(argv, ROUND)
    }

    fn with_deadline(argv: &[String], round: Duration) -> Result<Worker> {
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/").current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", argv[0]))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines =
                stdout.map(|stdout| BufReader::new(stdout).lines().map_while(|line| line.ok()));
            lines.into_iter().flatten().try_for_each(|line| sender.send(line).ok())
        });
        let mut worker = Worker { child, stdin, lines, version: String::new(), lost: None, round };
        let first = worker.answer()?;
        worker.version = first["version"].as_str().ok_or("it says no version")?.to_owned();
        Ok(worker)
    }

    /// Lets it do a round, and returns the samples: nanoseconds or KiB, none of what it does not have.
    ///
    /// # Errors
    /// Why it could not. Once it has been silent for too long, every round fails.
    pub(super) fn ask(&mut self, round: &str) -> Result<Vec<u64>> {
        if let Some(reason) = &self.lost {
            return Err(reason.clone());
        }
        let stdin = self.stdin.as_mut().ok_or("it has no input")?;
        writeln!(stdin, "{round}").map_err(|error| format!("cannot tell it to: {error}"))?;
        let answer = self.answer()?;
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        let values = answer["values"].as_array().ok_or_else(|| format!("it says {answer}"))?;
        let values: Option<Vec<u64>> = values.iter().map(Value::as_u64).collect();
        values.ok_or_else(|| format!("no whole numbers: {answer}"))
    }

    fn answer(&mut self) -> Result<Value> {
        let lost = match self.lines.recv_timeout(self.round) {
            Ok(line) => {
                return serde_json::from_str(&line).map_err(|_| format!("it says `{line}`"));
            }
            Err(RecvTimeoutError::Timeout) => format!("no answer in {:?}", self.round),
            Err(RecvTimeoutError::Disconnected) => "it has ended".to_owned(),
        };
        Err(self.lost.insert(lost).clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Its output ends with it, but nobody who does not answer is waited for.
        if self.lost.is_none() {
            while self.lines.recv_timeout(END).is_ok() {}
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(script: &str, round: Duration) -> Result<Worker> {
        Worker::with_deadline(&["sh", "-c", script].map(String::from), round)
    }

    #[track_caller]
    fn check(answer: &str, expected: Result<Vec<u64>>) {
        let script = format!(
            r#"echo '{{"version": "v 1"}}'; read round; [ "$round" = "connect 3" ] && {answer}"#
        );
        let mut worker = worker(&script, testkit::DEADLINE).unwrap();
        assert_eq!(worker.version, "v 1");
        assert_eq!(worker.ask("connect 3"), expected);
    }

    #[test]
    fn answers() {
        check(r#"echo '{"values": [3, 4]}'"#, Ok(vec![3, 4]));
        check(r#"echo '{"values": []}'"#, Ok(vec![]));
        check(r#"echo '{"error": "no moon"}'"#, Err("no moon".into()));
        check(r#"echo '{"values": [1.5]}'"#, Err(r#"no whole numbers: {"values":[1.5]}"#.into()));
        check(r#"echo '{}'"#, Err("it says {}".into()));
        check("echo moon", Err("it says `moon`".into()));
        check("exit 3", Err("it has ended".into()));
    }

    #[test]
    fn what_is_no_worker_is_said() {
        let said = |script| worker(script, testkit::DEADLINE).err();
        assert_eq!(said("true"), Some("it has ended".into()));
        assert_eq!(said("echo '{}'"), Some("it says no version".into()));
        let missing = Worker::start(&["/no/such/program".into()]).err().unwrap();
        assert!(missing.starts_with("/no/such/program: "), "{missing}");
    }

    #[test]
    fn one_that_hangs_is_given_up_and_ends_with_all_of_its_processes() {
        // What it leaves behind holds the writing end, whose end is seen here.
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let script = format!(
            r#"echo '{{"version": "1"}}'; sleep 60 >{} & read a; read b; echo '{{"values": [1]}}'; wait"#,
            fifo.display()
        );
        let reader = thread::spawn(move || std::fs::read(fifo));
        let mut worker = worker(&script, Duration::from_millis(300)).unwrap();
        assert_eq!(worker.ask("a"), Err("no answer in 300ms".into()));
        // What it says now is no answer to this.
        assert_eq!(worker.ask("b"), Err("no answer in 300ms".into()));
        drop(worker);
        let read = testkit::within_deadline("the end of all processes", move || reader.join());
        assert_eq!(read.unwrap().unwrap(), b"");
    }
}
