//! `cargo xtask test`: every test, counted.

mod report;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use testkit::{DEADLINE, Marker};

use self::report::{Counts, Minimum, Report};
use crate::{Result, Verdict, cargo, engine, flag, names, peers, windows};

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    let mut args = args.to_vec();
    let strict = flag(&mut args, "--strict");
    let update = flag(&mut args, "--update-minimum");
    let filters = names(args)?;
    if update && !filters.is_empty() {
        return Err("--update-minimum needs every test, so no FILTER".into());
    }
    peers::prepare(peers::FOR_TESTS)?;

    // Beside the tests' own build, as long as it does not say that it has failed.
    let windows = thread::spawn(windows::prepare);
    let built = cargo::build(cargo::cargo().args(TESTS).arg("--no-run"));
    let windows = windows.join().unwrap_or_else(|_| Err("it panicked".into()));
    let mut report = Report::new(&built?);
    if let Err(reason) = &windows {
        println!("Cannot run here: tests with Windows. {reason}");
    }
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let skips = folder.path().join("skips");
    // Not marked: it outlives the tests on purpose.
    let engine = engine::Shared::start();
    let marker = Marker::new();
    let mut command = cargo::cargo();
    engine.tell(&mut command);
    if let Ok(folder) = &windows {
        command.env(testkit::WINDOWS, folder);
    }
    command.args(TESTS).arg("--").args(&filters).env("THITHER_SKIPS", &skips);
    let result = stream(marker.mark(&mut command), SILENCE, &mut io::stdout().lock(), |line| {
        report.line(line);
    });
    // After a silence, whatever hangs is still there.
    let patience = if result.is_ok() { DEADLINE } else { Duration::ZERO };
    report.left_behind(marker.survivors(patience));
    let succeeded = result.unwrap_or_else(|error| {
        report.complain(error);
        false
    });
    report.skips(&fs::read_to_string(&skips).unwrap_or_default());
    report.finish(succeeded);

    let file = cargo::workspace().join("xtask/minimum.txt");
    if update {
        let text = report.suites().to_minimum();
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let minimum = match filters.is_empty() {
        true => Minimum::parse(&fs::read_to_string(&file).unwrap_or_default())?,
        false => Minimum::default(),
    };
    println!("\n{}", report.suites().table(&minimum));
    let mut complaints = report.complaints();
    if strict {
        complaints.extend(engine.complaint().map(String::from));
        complaints.extend(report.skipped().map(|skip| format!("skipped: {skip}")));
        if filters.is_empty() {
            complaints.extend(report.suites().below(&minimum));
        }
    } else {
        report.skipped().for_each(|skip| println!("skipped: {skip}"));
    }
    complaints.iter().for_each(|complaint| println!("FAILED: {complaint}"));
    let Counts { passed, failed, skipped } = report.suites().total();
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 && complaints.is_empty() { Verdict::Good } else { Verdict::Bad })
}

/// The same for the build and for the run, so that the second builds nothing.
const TESTS: [&str; 3] = ["test", "--workspace", "--no-fail-fast"];

/// How long nothing may be said: longer than the deadlines of all waits in one test.
const SILENCE: Duration = Duration::from_secs(300);

/// What [`stream`] waits for.
enum Event {
    Line(Vec<u8>),
    Ended(io::Result<ExitStatus>),
}

/// Runs a command with both of its streams in one pipe, so that cargo's lines and those of the tests keep their
/// order; shows each line and passes it on. Whether the command succeeded.
///
/// Ends with the command, even if something that it left behind still has the pipe open, or after `silence`.
fn stream(
    command: &mut Command,
    silence: Duration,
    show: &mut impl Write,
    mut each: impl FnMut(&str),
) -> Result<bool> {
    let failed = |error: io::Error| format!("cannot run the tests: {error}");
    let (reader, writer) = io::pipe().map_err(failed)?;
    let stderr = writer.try_clone().map_err(failed)?;
    command.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null()).stdout(writer).stderr(stderr);
    let mut child = command.spawn().map_err(failed)?;
    // The command keeps the writing end until it is given other streams.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (events, received) = channel();
    let lines = events.clone();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = lines.send(Event::Line(std::mem::take(&mut line)));
        }
    });
    thread::spawn(move || events.send(Event::Ended(child.wait())));

    let mut patience = silence;
    let mut status = None;
    loop {
        match received.recv_timeout(patience) {
            Ok(Event::Line(line)) => {
                show.write_all(&line).map_err(failed)?;
                each(String::from_utf8_lossy(&line).trim_end());
            }
            Ok(Event::Ended(ended)) => {
                status = Some(ended.map_err(failed)?);
                // What it wrote is in the pipe already; only the reader has to come to it.
                patience = patience.min(Duration::from_secs(1));
            }
            Err(_) => break,
        }
    }
    match status {
        Some(status) => Ok(status.success()),
        None => Err(format!("nothing was said for {silence:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, silence: Duration) -> (Result<bool>, Vec<String>) {
        let (mut lines, mut shown) = (Vec::new(), Vec::new());
        let marker = Marker::new();
        let mut command = Command::new("sh");
        marker.mark(command.args(["-c", script]));
        let result = stream(&mut command, silence, &mut shown, |line| lines.push(line.to_owned()));
        let _ = marker.survivors(Duration::ZERO);
        assert_eq!(String::from_utf8(shown).unwrap().lines().collect::<Vec<_>>(), lines);
        (result, lines)
    }

    #[test]
    fn both_streams_keep_their_order() {
        let (result, lines) = sh("echo one; echo two >&2; echo three; exit 1", SILENCE);
        assert_eq!(result, Ok(false));
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn what_keeps_the_pipe_open_or_says_nothing_ends_too() {
        let (result, lines) = sh("sleep 1000 & echo one", SILENCE);
        assert_eq!(result, Ok(true));
        assert_eq!(lines, ["one"]);
        let (result, _) = sh("sleep 1000", Duration::from_millis(1));
        assert_eq!(result, Err("nothing was said for 1ms".into()));
    }
}
