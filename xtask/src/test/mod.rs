//! `cargo xtask test`: every test, counted.

mod report;

use std::fs;
use std::io::{BufRead, BufReader, Write};

use self::report::{Counts, Minimum, Report};
use crate::{Result, Verdict, cargo, flag, names, peers};

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

    let mut report = Report::new(&cargo::build(cargo::cargo().args(TESTS).arg("--no-run"))?);
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let skips = folder.path().join("skips");
    let succeeded = stream(
        cargo::cargo().args(TESTS).arg("--").args(&filters).env("THITHER_SKIPS", &skips),
        &mut std::io::stdout().lock(),
        |line| report.line(line),
    )?;
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

/// Runs a command with both of its streams in one pipe, so that cargo's lines and those of the tests keep their
/// order; shows each line and passes it on. Whether the command succeeded.
fn stream(
    command: &mut std::process::Command,
    show: &mut impl Write,
    mut each: impl FnMut(&str),
) -> Result<bool> {
    let failed = |error| format!("cannot run {command:?}: {error}");
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let stderr = writer.try_clone().map_err(failed)?;
    let failed = |error| format!("cannot run the tests: {error}");
    command.env("CARGO_TERM_COLOR", "never").stdout(writer).stderr(stderr);
    let mut child = command.spawn().map_err(failed)?;
    // The command keeps the writing end until it is given other streams.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        show.write_all(&line).map_err(failed)?;
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(child.wait().map_err(failed)?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_keep_their_order() {
        let (mut lines, mut shown) = (Vec::new(), Vec::new());
        let script = "echo one; echo two >&2; echo three; exit 1";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        let result = stream(&mut command, &mut shown, |line| lines.push(line.to_owned()));
        assert_eq!(result, Ok(false));
        assert_eq!(shown, b"one\ntwo\nthree\n");
        assert_eq!(lines, ["one", "two", "three"]);
    }
}
