//! `cargo xtask dist windows`: the programs for other systems that go with a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::{Result, USAGE, Verdict, cargo, flag, names, windows};

/// The target of the service: Windows without Microsoft's linker, so that Linux can build it.
pub(crate) const TARGET: &str = "x86_64-pc-windows-gnu";
/// MinGW's C compiler, which links.
pub(crate) const MINGW: &str = "x86_64-w64-mingw32-gcc";
/// Debian's newest compiler, of its package `rustc-web`.
const DEBIANS: &str = "/usr/bin/rustc";
/// The standard library that its package `rust-web-src` holds.
const SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    let mut args = args.to_vec();
    let tests = flag(&mut args, "--tests");
    let systems = names(args)?;
    if systems != ["windows"] {
        return Err(format!("`dist` knows `windows` alone\n{USAGE}"));
    }
    let program = build(&Wanted::Service)?;
    let folder = cargo::target().join("dist/windows");
    let to = folder.join("pushyd.exe");
    let failed = |error| format!("cannot write {}: {error}", to.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::copy(program, &to).map_err(failed)?;
    println!("{}", described(&to)?);
    if tests {
        println!("{}", windows::prepare()?.display());
    }
    Ok(Verdict::Good)
}

/// `PATH: SIZE bytes, sha256 SUM`.
fn described(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}: {} bytes, sha256 {sum}", path.display(), bytes.len()))
}

/// What is built for Windows.
pub(crate) enum Wanted {
    /// The service.
    Service,
    /// What connects to its pipe in tests.
    Bridge,
}

/// Cross-compiles it, and returns where it is. What is up to date is not compiled again.
///
/// # Errors
/// What is missing, and how it is got; or that it does not compile.
pub(crate) fn build(wanted: &Wanted) -> Result<PathBuf> {
    if testkit::find_program(MINGW).is_err() {
        return Err(format!(
            "{MINGW} is missing: install Debian's package gcc-mingw-w64-x86-64, or MinGW-w64"
        ));
    }
    let compiler = Compiler::find()?;
    let mut command = cargo::cargo();
    command.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "pushyd",
        "--target",
        TARGET,
    ]);
    let name = match wanted {
        Wanted::Service => "pushyd",
        Wanted::Bridge => "bridge",
    };
    match wanted {
        Wanted::Service => command.args(["--bin", name]),
        Wanted::Bridge => command.args(["--example", name]),
    };
    compiler.choose(&mut command);
    let built = cargo::build(&mut command)?;
    let found = built.into_iter().rev().find(|artifact| artifact.name == name);
    let executable = found.and_then(|artifact| artifact.executable);
    executable.ok_or_else(|| format!("cargo did not say where it has put {name}"))
}

/// Who compiles for Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiler {
    /// The one that compiles all else, since rustup has the standard library for it.
    Stable,
    /// Debian's, which compiles the standard library as well: one minute, once.
    Debians,
}

impl Compiler {
    fn find() -> Result<Compiler> {
        match (has_target("rustc"), Path::new(SOURCE).exists() && Path::new(DEBIANS).exists()) {
            (true, _) => Ok(Compiler::Stable),
            (_, true) => Ok(Compiler::Debians),
            _ => Err(format!(
                "there is no standard library for Windows: `rustup target add {TARGET}`, or on \
                 Debian `apt-get install rustc-web rust-web-src`"
            )),
        }
    }

    /// Tells cargo. Each compiler has a folder of its own: a change of `RUSTC`, or of flags, would have all in a shared one
    /// compiled again and again.
    fn choose(self, command: &mut Command) {
        let folder = cargo::target().join("windows");
        // Not those of .cargo/config.toml, nor of who runs this.
        for name in ["RUSTFLAGS", "RUSTC", "RUSTDOC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
        command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", MINGW);
        match self {
            Compiler::Stable => command.arg("--target-dir").arg(folder.join("stable")),
            Compiler::Debians => {
                // What is not stable is allowed to the one compiler that builds its own library.
                command.envs([("RUSTC", DEBIANS), ("RUSTDOC", "/usr/bin/rustdoc")]);
                command.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std,panic_abort"]);
                command.arg("--target-dir").arg(folder.join("debian"))
            }
        };
    }
}

/// Whether a compiler has the standard library for Windows.
fn has_target(rustc: &str) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]).stdin(Stdio::null());
    let Ok(output) = command.output() else { return false };
    let folder = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let Ok(mut files) = fs::read_dir(folder) else { return false };
    files.any(|file| {
        file.is_ok_and(|file| file.file_name().as_encoded_bytes().starts_with(b"libstd-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables and the last arguments that a compiler gives to cargo.
    #[track_caller]
    fn check(compiler: Compiler, rustc: Option<&str>, last: &str) {
        let mut command = Command::new("cargo");
        compiler.choose(&mut command);
        let value = |name: &str| {
            let found = command.get_envs().find(|(given, _)| *given == name);
            found.expect("it is set or removed").1.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(value("RUSTC").as_deref(), rustc);
        assert_eq!(value("RUSTFLAGS"), None);
        assert_eq!(value("CARGO_ENCODED_RUSTFLAGS").unwrap(), "-Ctarget-feature=+crt-static");
        let folder = command.get_args().last().unwrap().to_str().unwrap();
        assert!(folder.ends_with(last), "{folder}");
    }

    #[test]
    fn compilers() {
        check(Compiler::Stable, None, "windows/stable");
        check(Compiler::Debians, Some("/usr/bin/rustc"), "windows/debian");
    }

    #[test]
    fn a_sum() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let expected = format!("{}: 3 bytes, sha256 {sum}", file.path().display());
        assert_eq!(described(file.path()), Ok(expected));
    }

    #[test]
    fn nothing_else_can_be_made() {
        for wrong in [&[][..], &["macos"], &["windows", "x"]] {
            let args: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            assert!(run(&args).is_err_and(|error| error.starts_with("`dist` knows")), "{wrong:?}");
        }
    }
}
