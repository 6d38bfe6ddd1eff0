//! `cargo xtask fuzz`: libFuzzer on stable Rust, without cargo-fuzz.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

use crate::{Result, Verdict, cargo, names, number, peers};

/// Coverage as libFuzzer wants it (clang's "SanitizerCoverage"): counters per edge, the table of their addresses, and
/// the operands of comparisons. It goes to the target alone: with an explicit `--target`, RUSTFLAGS spare build scripts.
const RUSTFLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// A target that runs, and where it writes what it says.
struct Running<'a> {
    target: &'a str,
    child: Child,
}

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    let mut args = args.to_vec();
    let seconds = number(&mut args, "--seconds")?.unwrap_or(60);
    let wanted = names(args)?;
    let folder = cargo::workspace().join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))
        .map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    let all = targets(&manifest);
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(format!("there is no fuzz target `{unknown}`, only {}", all.join(", ")));
    }
    let chosen: Vec<&str> = match wanted.is_empty() {
        true => all,
        false => wanted.iter().map(String::as_str).collect(),
    };
    peers::prepare(peers::FOR_FUZZ)?;
    let programs = build(&folder)?;

    let mut verdict = Verdict::Good;
    let at_once = available_parallelism().map_or(1, usize::from);
    for group in chosen.chunks(at_once) {
        let mut running = Vec::new();
        for target in group {
            println!("fuzz {target}: {seconds} s");
            running.push(start(&folder, &programs, target, seconds)?);
        }
        for running in running {
            if finish(&folder, running)? == Verdict::Bad {
                verdict = Verdict::Bad;
            }
        }
    }
    Ok(verdict)
}

/// The names of the `[[bin]]` sections.
fn targets(manifest: &str) -> Vec<&str> {
    let sections = manifest.split("[[bin]]").skip(1);
    sections.filter_map(|section| section.split_once("name = \"")?.1.split('"').next()).collect()
}

/// Builds all targets, and returns the folder of their programs.
fn build(folder: &Path) -> Result<std::path::PathBuf> {
    let version = Command::new("rustc").arg("-vV").output();
    let version = version.map_err(|error| format!("cannot run rustc: {error}"))?.stdout;
    let version = String::from_utf8_lossy(&version);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc -vV names no host")?;

    let target_folder = folder.join("target");
    let mut command = cargo::cargo();
    command.current_dir(folder).args(["build", "--release", "--target", host, "--target-dir"]);
    command.arg(&target_folder).env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    match command.status() {
        Ok(status) if status.success() => Ok(target_folder.join(host).join("release")),
        Ok(_) => Err("the fuzz targets cannot be built".into()),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}

fn start<'a>(folder: &Path, programs: &Path, target: &'a str, seconds: u32) -> Result<Running<'a>> {
    let failed = |error: std::io::Error| format!("cannot run the fuzz target {target}: {error}");
    for kind in ["corpus", "artifacts"] {
        fs::create_dir_all(folder.join(kind).join(target)).map_err(failed)?;
    }
    let log = File::create(log(folder, target)).map_err(failed)?;
    let mut command = Command::new(programs.join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix=artifacts/{target}/"))
        .args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"])
        // The first folder takes what is found; the second is committed and only read.
        .args([format!("corpus/{target}"), format!("seeds/{target}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(Running { target, child: command.spawn().map_err(failed)? })
}

/// Waits for its end and prints the executions, or the crash.
fn finish(folder: &Path, Running { target, mut child }: Running<'_>) -> Result<Verdict> {
    let failed = |error: std::io::Error| format!("fuzz target {target}: {error}");
    let status = child.wait().map_err(failed)?;
    let log = String::from_utf8_lossy(&fs::read(log(folder, target)).map_err(failed)?).into_owned();
    let statistic = |name: &str| statistic(&log, name);
    match (status.success(), statistic("number_of_executed_units")) {
        (true, Some(executions)) if executions > 0 => {
            let speed = statistic("average_exec_per_sec").unwrap_or(0);
            println!("fuzz {target}: {executions} executions, {speed} per second, no crash");
            Ok(Verdict::Good)
        }
        (true, _) => {
            println!("FAILED: fuzz {target}: no executions\n{}", tail(&log));
            Ok(Verdict::Bad)
        }
        (false, _) => {
            println!("FAILED: fuzz {target}: {status}\n{}", tail(&log));
            if let Some(artifact) = artifact(&log) {
                println!("the input: fuzz/{artifact}");
            }
            Ok(Verdict::Bad)
        }
    }
}

fn log(folder: &Path, target: &str) -> std::path::PathBuf {
    folder.join("artifacts").join(target).join("log")
}

/// `stat::number_of_executed_units: 123` of `-print_final_stats=1`.
fn statistic(log: &str, name: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.strip_prefix(&format!("stat::{name}:")))?;
    line.trim().parse().ok()
}

/// `artifact_prefix='artifacts/x/'; Test unit written to artifacts/x/crash-0123`.
fn artifact(log: &str) -> Option<&str> {
    log.lines().find_map(|line| Some(line.split_once("Test unit written to ")?.1))
}

/// What matters of a failure: from the panic's message on, else the end.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    lines[panic.unwrap_or(lines.len().saturating_sub(40))..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says() {
        let log = "#2\tINITED\nstat::number_of_executed_units: 40961\n\
                   stat::average_exec_per_sec:     4096\n\
                   artifact_prefix='artifacts/x/'; Test unit written to artifacts/x/crash-01\n";
        assert_eq!(statistic(log, "number_of_executed_units"), Some(40961));
        assert_eq!(statistic(log, "average_exec_per_sec"), Some(4096));
        assert_eq!(statistic(log, "peak_rss_mb"), None);
        assert_eq!(artifact(log), Some("artifacts/x/crash-01"));
        assert_eq!(artifact("fine"), None);
        assert_eq!(tail("#1 NEW\nthread panicked at x\nwhy"), "thread panicked at x\nwhy");
        assert_eq!(tail(&"line\n".repeat(50)).lines().count(), 40);
    }

    #[test]
    fn each_target_is_there_with_its_seeds() {
        let folder = cargo::workspace().join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let targets = targets(&manifest);
        assert!(targets.contains(&"address"), "{targets:?}");
        for target in targets {
            assert!(folder.join("fuzz_targets").join(format!("{target}.rs")).exists(), "{target}");
            let seeds = fs::read_dir(folder.join("seeds").join(target));
            assert!(seeds.is_ok_and(|mut seeds| seeds.next().is_some()), "no seeds of {target}");
        }
    }
}
