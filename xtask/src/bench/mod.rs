//! `cargo xtask bench`: the release binary side by side with its peers, in one run.

mod daemon;
mod docker;
mod files;
mod measure;
mod memory;
mod python;
mod rounds;
mod smb;
mod ssh;
mod table;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{BusyboxRoot, PublicCopy};

pub(crate) use self::measure::{MEASURE, measure};
use self::measure::{Series, interleaved};
use crate::{Result, Verdict, cargo, flag, names, number, peers, pychroot};

/// A command to be measured, the first of a group being ours.
struct Contender {
    name: &'static str,
    argv: Vec<String>,
    /// What ours must reach against this one.
    target: Option<Target>,
}

/// What our median must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    /// At most this many times the other's.
    Ratio(f64),
    /// At most this many milliseconds more than the other's.
    Extra(f64),
}

/// Who runs the commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    Ordinary,
}

const GROUPS: [&str; 5] = ["chroot-root", "chroot-user", "call", "local", "memory"];

/// "no worse" than a peer that has no figure of its own to reach means within 5 %.
const BWRAP_AS_ROOT: Target = Target::Ratio(0.90);
const BWRAP_AS_USER: Target = Target::Ratio(0.92);
const PYCHROOT: Target = Target::Ratio(1.0 / 35.0);
const CALL: Target = Target::Ratio(1.5);
const LOCAL: Target = Target::Extra(1.0);
const MEMORY_KIB: u64 = 4096;

/// Everything the groups share.
struct Bench {
    ours: PublicCopy,
    root: BusyboxRoot,
    pychroot: Result<PathBuf>,
    runs: u32,
    missed: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    let mut args = args.to_vec();
    let runs = number(&mut args, "--runs")?.unwrap_or(60);
    let check = flag(&mut args, "--check");
    let wanted = names(args)?;
    let python = python::groups();
    let of_places = [&docker::GROUPS[..], &ssh::GROUPS, &daemon::GROUPS, &smb::GROUPS].concat();
    let groups = [&GROUPS[..], &of_places, &python].concat();
    if let Some(unknown) = wanted.iter().find(|name| !groups.contains(&name.as_str())) {
        return Err(format!("there is no benchmark `{unknown}`, only {}", groups.join(", ")));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|other| other == name);
    peers::prepare(peers::FOR_BENCH)?;

    let mut missed = Vec::new();
    if groups.iter().any(|group| is_wanted(group) && !python.contains(group)) {
        missed.extend(of_the_binary(runs, is_wanted)?);
    }
    missed.extend(python::bench(runs, is_wanted));
    for miss in &missed {
        println!("MISSED: {miss}");
    }
    Ok(if check && !missed.is_empty() { Verdict::Bad } else { Verdict::Good })
}

/// The groups that measure the tool, and what was missed.
fn of_the_binary(runs: u32, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let chroots = is_wanted("chroot-root") || is_wanted("chroot-user");
    let mut bench = Bench {
        ours: PublicCopy::of(release_binary()?)
            .map_err(|error| format!("cannot copy it: {error}"))?,
        root: BusyboxRoot::new()?,
        pychroot: if chroots { pychroot::install() } else { Err("not wanted".into()) },
        runs,
        missed: Vec::new(),
    };
    bench.print_versions();
    if is_wanted("chroot-root") {
        match testkit::is_root() {
            true => bench.chroot(User::Root)?,
            false => bench.miss("chroot-root: only root can run it".into()),
        }
    }
    if is_wanted("chroot-user") {
        bench.chroot(User::Ordinary)?;
    }
    if is_wanted("call") {
        let user = if testkit::is_root() { User::Root } else { User::Ordinary };
        bench.call(user)?;
    }
    if is_wanted("local") {
        let ours = bench.ours(&["run", "local:", "--", "/bin/true"], None);
        let alone = contender("/bin/true alone", &["/bin/true"], Some(LOCAL));
        bench.group("local: start to exit of /bin/true", User::Root, vec![ours, alone])?;
    }
    if is_wanted("memory") {
        bench.memory()?;
    }
    let docker = docker::bench(bench.ours.path(), runs, &is_wanted);
    bench.missed.extend(docker);
    let ssh = ssh::bench(bench.ours.path(), runs, &is_wanted);
    bench.missed.extend(ssh);
    let daemon = daemon::bench(bench.ours.path(), runs, &is_wanted);
    bench.missed.extend(daemon);
    let smb = smb::bench(bench.ours.path(), runs, &is_wanted);
    bench.missed.extend(smb);
    Ok(bench.missed)
}

impl Bench {
    fn print_versions(&self) {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        println!("Linux {}", read("/proc/sys/kernel/osrelease"));
        println!("{}", peers::version(&[&self.ours.path().to_string_lossy(), "--version"]));
        println!("{}", peers::version(&["bwrap", "--version"]));
        match &self.pychroot {
            Ok(path) => println!("{}", peers::version(&[&path.to_string_lossy(), "--version"])),
            Err(reason) => println!("no pychroot: {reason}"),
        }
        println!("{}", peers::version(&["busybox"]));
    }

    fn miss(&mut self, what: String) {
        self.missed.push(what);
    }

    fn ours(&self, args: &[&str], target: Option<Target>) -> Contender {
        let ours = self.ours.path().to_string_lossy();
        contender("thither", &[&[ours.as_ref()], args].concat(), target)
    }

    /// Start to exit of a program that does nothing, in a root with the five mounts of pychroot.
    fn chroot(&mut self, user: User) -> Result<()> {
        let root = self.root.path().to_string_lossy().into_owned();
        let place = format!("chroot:{root}");
        let mut contenders = vec![self.ours(&["run", &place, "--", "/bin/true"], None)];
        let title = match user {
            User::Root => {
                "chroot-root: start to exit of /bin/true in a root with five mounts, as root"
            }
            User::Ordinary => "chroot-user: the same as an ordinary user, with a net namespace",
        };
        let target = if user == User::Root { BWRAP_AS_ROOT } else { BWRAP_AS_USER };
        match testkit::find_program("bwrap") {
            Ok(bwrap) => {
                let argv =
                    [&bwrap_options(&bwrap, &root, user)[..], &["/bin/true".into()]].concat();
                contenders.push(Contender { name: "bwrap", argv, target: Some(target) });
            }
            Err(reason) => self.miss(format!("{title}: {reason}")),
        }
        match &self.pychroot {
            Ok(path) => {
                let argv = [&path.to_string_lossy(), root.as_str(), "/bin/true"];
                contenders.push(contender("pychroot", &argv, Some(PYCHROOT)));
            }
            Err(reason) => self.missed.push(format!("{title}: no pychroot: {reason}")),
        }
        if user == User::Root {
            let chroot = testkit::find_program("chroot")?;
            let argv = [&chroot.to_string_lossy(), root.as_str(), "/bin/true"];
            contenders.push(contender("chroot(1), no mounts", &argv, None));
        }
        let outside = format!("{root}/bin/busybox");
        contenders.push(contender("/bin/true alone", &[&outside, "true"], None));
        self.group(title, user, contenders)
    }

    /// A function that does nothing, against a command that does nothing.
    fn call(&mut self, user: User) -> Result<()> {
        let root = self.root.path().to_string_lossy().into_owned();
        let example = example("thither-chroot", "call", &[])?;
        let copy = PublicCopy::of(example).map_err(|error| format!("cannot copy it: {error}"))?;
        let call = contender("thither", &[&copy.path().to_string_lossy(), root.as_str()], None);
        let place = format!("chroot:{root}");
        let run = self.ours(&["run", &place, "--", "/bin/true"], Some(CALL));
        let run = Contender { name: "run /bin/true", ..run };
        let title = "call: start to exit of a program that calls an empty function in a root";
        self.group(title, user, vec![call, run])
    }

    fn group(&mut self, title: &str, user: User, contenders: Vec<Contender>) -> Result<()> {
        println!("\n{title}; n = {}, interleaved", self.runs);
        for contender in &contenders {
            println!("  {}: {}", contender.name, contender.argv.join(" "));
        }
        let series = interleaved(&contenders, self.runs, user)?;
        println!(
            "  {:22} {:>9} {:>9} {:>9} {:>8}  target",
            "", "median ms", "min ms", "p90 ms", "ours/it"
        );
        let ours = series[0].as_ref().map_err(|error| format!("thither cannot run: {error}"))?;
        for (contender, series) in contenders.iter().zip(&series) {
            match series {
                Ok(series) => {
                    let met = contender.target.map(|target| (target, target.is_met(ours, series)));
                    let verdict = match met {
                        Some((target, true)) => format!("{target}: pass"),
                        Some((target, false)) => format!("{target}: MISS"),
                        None => String::new(),
                    };
                    println!(
                        "  {:22} {:9.3} {:9.3} {:9.3} {:8.3}  {verdict}",
                        contender.name,
                        series.median,
                        series.min,
                        series.p90,
                        ours.median / series.median
                    );
                    if let Some((target, false)) = met {
                        self.missed.push(format!("{title}, {}: {target}", contender.name));
                    }
                }
                Err(error) => {
                    println!("  {:22} cannot run here: {error}", contender.name);
                    if contender.target.is_some() {
                        self.missed.push(format!("{title}: {} cannot run", contender.name));
                    }
                }
            }
        }
        Ok(())
    }

    /// Peak memory of the tool's own processes while the command runs.
    fn memory(&mut self) -> Result<()> {
        let root = self.root.path().to_string_lossy().into_owned();
        let user = if testkit::is_root() { User::Root } else { User::Ordinary };
        let place = format!("chroot:{root}");
        let mut contenders = vec![
            ("in a root", self.ours(&["run", &place, "--"], None)),
            ("local", self.ours(&["run", "local:", "--"], None)),
        ];
        if let Ok(bwrap) = testkit::find_program("bwrap") {
            let argv = bwrap_options(&bwrap, &root, user);
            contenders.push(("in a root", Contender { name: "bwrap", argv, target: None }));
        }
        println!(
            "\nmemory: VmHWM of the tool's processes (not the command's) while a command runs, KiB"
        );
        println!("  {:22} {:>9} {:>9} {:>9}", "", "processes", "largest", "sum");
        for (whither, Contender { name, argv, .. }) in contenders {
            let peaks = memory::peaks(&argv)?;
            let largest = peaks.iter().copied().max().unwrap_or(0);
            let verdict = match (name, largest) {
                ("thither", 1..MEMORY_KIB) => format!("  < {MEMORY_KIB}: pass"),
                ("thither", _) => {
                    self.missed.push(format!("memory, {whither}: {largest} KiB"));
                    format!("  < {MEMORY_KIB}: MISS")
                }
                _ => String::new(),
            };
            let (count, sum) = (peaks.len(), peaks.iter().sum::<u64>());
            println!(
                "  {:22} {count:>9} {largest:>9} {sum:>9}{verdict}",
                format!("{name}, {whither}")
            );
        }
        Ok(())
    }
}

impl Target {
    fn is_met(self, ours: &Series, theirs: &Series) -> bool {
        match self {
            Target::Ratio(most) => ours.median <= most * theirs.median,
            Target::Extra(most) => ours.median <= most + theirs.median,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Ratio(most) => write!(f, "<= {most:.3}"),
            Target::Extra(most) => write!(f, "<= {most} ms more"),
        }
    }
}

fn contender(name: &'static str, argv: &[&str], target: Option<Target>) -> Contender {
    Contender { name, argv: argv.iter().map(|&arg| arg.to_owned()).collect(), target }
}

/// bwrap with the namespaces and mounts that we make: /dev recursively, proc, /sys, a tmpfs at /dev/shm, resolv.conf.
fn bwrap_options(bwrap: &Path, root: &str, user: User) -> Vec<String> {
    let mut options = format!(
        "{} --bind {root} / --dev-bind /dev /dev --proc /proc --bind /sys /sys --tmpfs /dev/shm \
         --ro-bind /etc/resolv.conf /etc/resolv.conf --unshare-pid --unshare-ipc --unshare-uts",
        bwrap.display()
    );
    if user == User::Ordinary {
        options.push_str(" --unshare-user --unshare-net");
    }
    options.split_whitespace().map(String::from).collect()
}

fn release_binary() -> Result<PathBuf> {
    let mut command = cargo::cargo();
    let built = cargo::build(command.args(["build", "--release", "--package", "thither-cli"]))?;
    let thither =
        built.into_iter().find(|artifact| artifact.kind == "bin" && artifact.name == "thither");
    thither.and_then(|artifact| artifact.executable).ok_or("cargo built no binary `thither`".into())
}

/// An example of a package of the workspace, built as a release, with these options.
fn example(package: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
    let mut command = cargo::cargo();
    command.args(["build", "--release", "--package", package, "--example", name]).args(options);
    let built = cargo::build(&mut command)?;
    let example =
        built.into_iter().find(|artifact| artifact.kind == "example" && artifact.name == name);
    example
        .and_then(|artifact| artifact.executable)
        .ok_or(format!("cargo built no example `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: Target, ours: f64, theirs: f64, met: bool) {
        let series = |median| Series { median, min: 0.0, p90: 0.0 };
        assert_eq!(target.is_met(&series(ours), &series(theirs)), met);
    }

    #[test]
    fn targets() {
        check(Target::Ratio(0.9), 1.8, 2.0, true);
        check(Target::Ratio(0.9), 1.81, 2.0, false);
        check(Target::Extra(1.0), 1.9, 1.0, true);
        check(Target::Extra(1.0), 2.1, 1.0, false);
    }
}
