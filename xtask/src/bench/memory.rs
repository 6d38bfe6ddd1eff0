//! Peak memory of a tool's own processes.
//!
//! `ru_maxrss` of wait4(2) would not do: it is the maximum over the process and all descendants that it waited for, the
//! command among them, and includes what the process had before its exec, which is the size of whoever started it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;

/// The peak resident sets in KiB (`VmHWM` of proc_pid_status(5)) of the process that `tool` starts and of those of its
/// descendants that run the same executable, at a moment when the command inside runs.
pub(super) fn peaks(tool: &[String]) -> Result<Vec<u64>> {
    let mut command = Command::new(&tool[0]);
    command.args(&tool[1..]).args(["/bin/sh", "-c", "echo ready; read end"]);
    command.stdin(Stdio::piped());
    // The end of its input, when it is waited for, ends the command.
    peaks_when_ready(command, || {})
}

/// The same of a whole command line, at the moment when the command inside has printed a line "ready". `release` then
/// lets it end.
pub(super) fn peaks_when_ready(mut tool: Command, release: impl FnOnce()) -> Result<Vec<u64>> {
    let name = tool.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut child = tool.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = Vec::new();
    while line != b"ready\n" {
        line.clear();
        if stdout.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            let status = child.wait().map_err(failed)?;
            return Err(format!("{name} does not run a command: {status}"));
        }
    }
    let peaks = peaks_of(child.id());
    release();
    child.wait().map_err(failed)?;
    Ok(peaks)
}

/// Of a process and its descendants that run the same executable.
pub(super) fn peaks_of(tool: u32) -> Vec<u64> {
    let executable = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = executable(tool);
    let parents = parents();
    let is_descendant = |mut pid: u32| {
        while let Some(&parent) = parents.get(&pid) {
            if pid == tool {
                return true;
            }
            pid = parent;
        }
        false
    };
    let family = parents.keys().copied().filter(|&pid| is_descendant(pid));
    family.filter(|&pid| ours.is_some() && executable(pid) == ours).filter_map(peak).collect()
}

/// The parent of each process (the fourth field of proc_pid_stat(5)).
fn parents() -> BTreeMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent = |process: &Path| -> Option<(u32, u32)> {
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
    };
    entries.filter_map(|entry| parent(&entry.path())).collect()
}

fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tools_own_processes_count() {
        // The tool is `env`, which becomes `timeout`, whose child is the command.
        let tool = ["env", "timeout", "20"].map(String::from);
        let peaks = peaks(&tool).unwrap();
        assert_eq!(peaks.len(), 1);
        assert!((200..100_000).contains(&peaks[0]), "{peaks:?}");
    }

    #[test]
    fn a_tool_that_runs_nothing_is_an_error() {
        assert!(peaks(&["true".to_owned()]).is_err());
    }
}
