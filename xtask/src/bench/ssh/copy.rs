//! Many small files and a large one, there and back.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{NAME, NO_WORSE, Ssh, THITHER, Tool, print_lines};
use crate::Result;
use crate::bench::files::{FILES, MEMORY, count, is_roomy_memory, make, run_quietly, text};
use crate::bench::rounds::{Cost, interleaved, milliseconds, quantile};
use crate::bench::table::{Limit, Table};

const TAR: &str = "tar | ssh";
const SCP: &str = "scp";

const SMALL_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: TAR, most: 1.3 },
    Limit::Ratio { column: 0, against: SCP, most: 0.1 },
    Limit::Ratio { column: 3, against: TAR, most: 1.3 },
    Limit::Ratio { column: 3, against: SCP, most: 0.1 },
];
const LARGE_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: SCP, most: NO_WORSE },
    Limit::Ratio { column: 3, against: SCP, most: NO_WORSE },
];
const COLUMNS: &[&str] =
    &["up, median ms", "min ms", "CPU ms", "down, median ms", "min ms", "CPU ms"];

const LARGE_MIB: usize = 1024;
/// The large file at its source and where it arrives, and the small ones.
const ROOM_MIB: u64 = 2560;

/// Which way.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// A folder of this machine, which is over there too, as the server is here.
struct Folder(TempDir);

impl Folder {
    fn new(parent: &Path) -> std::io::Result<Folder> {
        let folder = Folder(tempfile::tempdir_in(parent)?);
        for (name, mode) in [("", 0o755), ("got", 0o755), ("there", 0o777)] {
            let path = folder.path(name);
            fs::create_dir_all(&path)?;
            // The user over there is another one.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Ssh<'_> {
    pub(super) fn copy(&self) -> Vec<String> {
        if let Err(reason) = is_roomy_memory(Path::new(MEMORY), ROOM_MIB) {
            return vec![format!("ssh-copy: {MEMORY}: {reason}")];
        }
        match Folder::new(Path::new(MEMORY)) {
            Ok(folder) => [self.small(&folder), self.large(&folder)].concat(),
            Err(error) => vec![format!("ssh-copy: in {MEMORY}: {error}")],
        }
    }

    fn small(&self, folder: &Folder) -> Vec<String> {
        let runs = self.runs.div_ceil(3);
        let title = format!("ssh-copy: {FILES} small files, in {MEMORY}; n = {runs}, interleaved");
        if let Err(error) = make(&folder.path("files")) {
            return vec![format!("{title}: {error}")];
        }
        let missed = self.both_ways(&title, folder, runs, &[TAR], SMALL_LIMITS);
        let _ = fs::remove_dir_all(folder.path("files"));
        missed
    }

    fn large(&self, folder: &Folder) -> Vec<String> {
        let runs = self.runs.div_ceil(3);
        let title =
            format!("ssh-copy: {LARGE_MIB} MiB in a file, in {MEMORY}; n = {runs}, interleaved");
        if let Err(error) = make_large(&folder.path("files")) {
            return vec![format!("{title}: {error}")];
        }
        self.both_ways(&title, folder, runs, &[SCP], LARGE_LIMITS)
    }

    /// Ours in turn with these peers; then the others that the limits name, once: they are slow.
    fn both_ways(
        &self,
        title: &str,
        folder: &Folder,
        runs: u32,
        peers: &[&'static str],
        limits: &[Limit],
    ) -> Vec<String> {
        let names = [&[THITHER], peers].concat();
        let once: Vec<&str> = [SCP].into_iter().filter(|name| !names.contains(name)).collect();
        let all = [&names[..], &once].concat();
        let both = |name| [Way::Up, Way::Down].map(|way| self.tool(way, folder, name));
        print_lines(&all.iter().flat_map(|&name| both(name)).collect::<Vec<_>>());
        let [up, down] = [Way::Up, Way::Down].map(|way| {
            let mut costs =
                interleaved(names.len(), runs, |i| self.copy_once(way, folder, names[i]));
            costs.extend(once.iter().map(|name| Ok(vec![self.copy_once(way, folder, name)?])));
            costs
        });
        let rows = all.into_iter().zip(up.into_iter().zip(down)).map(|(name, (up, down))| {
            let both = up.map_err(|error| format!("up: {error}")).and_then(|up| {
                let down = down.map_err(|error| format!("down: {error}"))?;
                Ok([figures(&up), figures(&down)].concat())
            });
            (name, both)
        });
        Table { title, columns: COLUMNS, rows: rows.collect(), limits }.print()
    }

    /// What copies the files.
    fn tool(&self, way: Way, folder: &Folder, name: &'static str) -> Tool {
        let path = |name| text(&folder.path(name));
        let over_there = |path: String| match name {
            THITHER => format!("ssh:{NAME}::{path}"),
            _ => format!("{NAME}:{path}"),
        };
        let (from, to) = match way {
            Way::Up => (path("files"), over_there(path("there"))),
            Way::Down => (over_there(path("files")), path("got")),
        };
        match name {
            THITHER => self.ours(&["cp", "-r", &from, &to]),
            SCP => Tool::new(SCP, self.host.over_master("scp", &["-q", "-r", &from, &to])),
            _ => {
                let ssh = self.host.over_master("ssh", &[NAME]).join(" ");
                let [source, there, got] = ["", "there", "got"].map(path);
                let script = match way {
                    Way::Up => format!("tar -C {source} -cf - files | {ssh} tar -C {there} -xf -"),
                    Way::Down => format!("{ssh} tar -C {source} -cf - files | tar -C {got} -xf -"),
                };
                Tool::new(TAR, ["sh", "-c", &script].map(String::from).to_vec())
            }
        }
    }

    fn copy_once(&self, way: Way, folder: &Folder, name: &'static str) -> Result<Cost> {
        let cost = run_quietly(&self.host.command_of(&self.tool(way, folder, name)));
        let target = match way {
            Way::Up => folder.path("there/files"),
            Way::Down => folder.path("got/files"),
        };
        // Looked at before it is taken away.
        let (wanted, arrived) = (size(&folder.path("files")), size(&target));
        let removed = match target.is_dir() {
            true => fs::remove_dir_all(&target),
            false => fs::remove_file(&target),
        };
        let cost = cost?;
        removed.map_err(|error| format!("{}: {error}", target.display()))?;
        (arrived == wanted).then_some(cost).ok_or_else(|| format!("{arrived} arrived, of {wanted}"))
    }
}

/// Bytes of a file, and the files in a folder of folders.
fn size(path: &Path) -> u64 {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => count(path) as u64,
    }
}

/// No zeros: those may be left out on the way.
fn make_large(path: &Path) -> std::io::Result<()> {
    let chunk: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let mut file = fs::File::create(path)?;
    (0..LARGE_MIB).try_for_each(|_| file.write_all(&chunk))
}

fn figures(costs: &[Cost]) -> [f64; 3] {
    let wall = |share| milliseconds(quantile(costs.iter().map(|cost| cost.wall), share));
    [wall(0.5), wall(0.0), milliseconds(quantile(costs.iter().map(|cost| cost.cpu), 0.5))]
}
