//! The output of a program over there, to a pipe here.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Bench, Tool, table};
use crate::Result;
use crate::bench::example;
use crate::bench::files::text;
use crate::bench::rounds::{interleaved, run};
use crate::bench::table::Limit;

const MIB: usize = 256;
/// A throughput of four fifths.
const MOST: f64 = 1.25;

const OURS: &str = "thither";
const BARE_64: &str = "bare, 64 K";
const BARE_256: &str = "bare, 256 K";

/// The better of the two counts.
const TLS_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: BARE_64, most: MOST },
    Limit::Ratio { column: 0, against: BARE_256, most: MOST },
];

impl Bench<'_> {
    pub(super) fn stdout(&self) -> Vec<String> {
        match Floor::start() {
            Ok(floor) => {
                let limits = [TLS_LIMITS, &[]];
                let both = ["TLS", "Unix socket"].into_iter().zip(limits);
                both.flat_map(|(way, limits)| self.stdout_by(way, &floor, limits)).collect()
            }
            Err(reason) => vec![format!("daemon-stdout: no bare stream: {reason}")],
        }
    }

    fn stdout_by(&self, way: &str, floor: &Floor, limits: &[Limit]) -> Vec<String> {
        let (bytes, runs) = (MIB << 20, self.runs.div_ceil(3));
        let (place, bare) = match way {
            "TLS" => (self.host.tls(), vec!["tls", &floor.folder_name, &floor.port]),
            _ => (self.host.unix(), vec!["unix", &floor.folder_name]),
        };
        let bare =
            |name, kib| Tool::new(name, &[&[floor.program.as_str()], &bare[..], &[kib]].concat());
        let ours = text(self.ours);
        let count = bytes.to_string();
        let words = [&ours, "run", &place, "--", "head", "-c", &count, "/dev/zero"];
        let tools = [Tool::new(OURS, &words), bare(BARE_64, "64"), bare(BARE_256, "256")];
        let title =
            format!("daemon-stdout: {MIB} MiB to a pipe, over {way}; n = {runs}, interleaved");
        let costs = interleaved(tools.len(), runs, |index| {
            run(self.host.command(&tools[index].argv), bytes)
        });
        table(&title, &tools, costs, limits)
    }
}

/// The server of bare streams. It ends with its input.
struct Floor {
    server: Child,
    program: String,
    folder_name: String,
    port: String,
    _folder: TempDir,
}

impl Floor {
    fn start() -> Result<Floor> {
        let failed = |error: std::io::Error| error.to_string();
        let program = text(&example("xtask", "stream_floor", &[])?);
        let folder = tempfile::tempdir().map_err(failed)?;
        let folder_name = text(folder.path());
        let mut command = Command::new(&program);
        command.args(["serve", &folder_name, &(MIB << 20).to_string()]);
        let mut server =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let mut port = String::new();
        if let Some(stdout) = server.stdout.take() {
            BufReader::new(stdout).read_line(&mut port).map_err(failed)?;
        }
        let port = port.trim().to_owned();
        Ok(Floor { server, program, folder_name, port, _folder: folder })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}
