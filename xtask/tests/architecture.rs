//! Keeps what ARCHITECTURE.md promises about the source, apart from what lints keep.
//!
//! The words that are looked for are put together here, so that this file does not contain them itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate of the workspace and the crates of the workspace that it may depend on.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("thither-term", &[]),
    ("thither-place", &["thither-term"]),
    ("thither-chroot", &["thither-place", "thither-term"]),
    ("thither-docker", &["thither-place", "thither-term"]),
    ("thither-python", &[]),
    ("thither-remote", &["thither-place", "thither-term"]),
    (
        "thither",
        &["thither-place", "thither-chroot", "thither-docker", "thither-python", "thither-remote"],
    ),
    ("thither-cli", &["thither"]),
    ("pushyd", &["thither-place"]),
    ("testkit", &[]),
    ("xtask", &["testkit"]),
];

/// The longest that a file may be, in lines.
const LONGEST: usize = 500;

fn workspace() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    Path::new(&xtask).parent().expect("a folder of the workspace").to_path_buf()
}

/// The Rust files by their path from the workspace's folder.
fn sources() -> BTreeMap<String, String> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().expect("a name in UTF-8");
            if entry.file_type().unwrap().is_dir() {
                if !name.ends_with("target") && !name.starts_with('.') {
                    walk(root, &path, found);
                }
            } else if name.ends_with(".rs") {
                found.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&workspace(), &workspace(), &mut found);
    assert!(found.contains_key("xtask/tests/architecture.rs"), "the sources were not found");
    found
}

/// The lines of code, without those that are comments, and their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The paths of the lines "- `path`: text" between `<!-- name -->` and `<!-- /name -->`.
fn listed(name: &str) -> BTreeSet<String> {
    let file = workspace().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let part = text
        .split_once(&format!("<!-- {name} -->"))
        .and_then(|(_, rest)| rest.split_once(&format!("<!-- /{name} -->")))
        .unwrap_or_else(|| panic!("ARCHITECTURE.md has no part between the markers of {name}"));
    let lines = part.0.lines().filter(|line| line.starts_with("- "));
    let path = |line: &str| {
        let (path, reason) = line.strip_prefix("- `")?.split_once("`: ")?;
        (!reason.trim().is_empty()).then(|| path.trim_end_matches('/').to_owned())
    };
    lines
        .map(|line| path(line).unwrap_or_else(|| panic!("not \"- `path`: reason\": {line}")))
        .collect()
}

fn has_unsafe_code(text: &str) -> bool {
    let word = concat!("un", "safe");
    code(text).any(|(_, line)| {
        line.match_indices(word).any(|(at, _)| {
            let after = line[at + word.len()..].trim_start();
            let starts =
                line[..at].chars().next_back().is_none_or(|before| " ({[=|".contains(before));
            let items = ["{", "fn ", "impl", "extern", "trait ", "("];
            starts && (after.is_empty() || items.iter().any(|item| after.starts_with(item)))
        })
    })
}

#[test]
fn files_with_unsafe_code_are_listed() {
    let found: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| has_unsafe_code(text))
        .map(|(path, _)| path)
        .collect();
    let listed = listed(concat!("un", "safe-files"));
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty() && stale.is_empty(), "not listed: {unlisted:?}; listed: {stale:?}");
}

#[test]
fn unsafe_code_is_recognized() {
    let un = |rest: &str| format!("un{rest}");
    for yes in ["safe { f() }", "safe fn f();", "safe impl Send for X {}", "safe"] {
        assert!(has_unsafe_code(&un(yes)), "{yes}");
    }
    assert!(has_unsafe_code(&format!("#[{}", un("safe(no_mangle)]"))));
    assert!(has_unsafe_code(&format!("let x = {}", un("safe { f() };"))));
    for no in [
        format!("// {}", un("safe { f() }")),
        format!("#![expect({})]", un("safe_code, reason = \"x\"")),
        format!("let {} = 1;", un("safe_files")),
    ] {
        assert!(!has_unsafe_code(&no), "{no}");
    }
}

#[test]
fn crates_depend_one_way() {
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    for (package, manifest) in manifests() {
        let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(name, _)| *name == package) else {
            wrong.push(format!("{package} is not in the table of this test"));
            continue;
        };
        for (section, dependency) in dependencies(&manifest) {
            let ours = MAY_DEPEND_ON.iter().any(|(name, _)| *name == dependency);
            let in_tests = section == "dev-dependencies" && dependency == "testkit";
            if ours && !in_tests && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{package} depends on {dependency} ({section})"));
            }
        }
        found.insert(package);
    }
    wrong.extend(
        MAY_DEPEND_ON
            .iter()
            .filter(|(name, _)| !found.contains(*name))
            .map(|(name, _)| format!("{name} is in the table of this test and does not exist")),
    );
    assert_eq!(wrong, [""; 0]);
}

/// The names of the workspace's packages and their manifests.
fn manifests() -> Vec<(String, String)> {
    let root = workspace();
    let crates = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let folders =
        crates.chain(["testkit", "windows/pushyd", "xtask"].map(|folder| root.join(folder)));
    folders
        .map(|folder| {
            let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let name = text.split_once("name = \"").expect("a name").1.split('"').next().unwrap();
            (name.to_owned(), text)
        })
        .collect()
}

/// The section and name of each dependency: `name.workspace = true`, `name = ...` in `[dependencies]`,
/// `[target.'...'.dependencies]` and so on, or a section `[dependencies.name]`.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            if let Some((kind, name)) = name.rsplit_once("dependencies.") {
                found.push((format!("{kind}dependencies"), name.to_owned()));
            }
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            found.extend((!name.is_empty()).then(|| (section.clone(), name.to_owned())));
        }
    }
    found
}

#[test]
fn dependencies_are_recognized() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# no = 1\na.workspace = true\nb = \"1\"\n\n\
                    [dev-dependencies]\nc={ path = \"c\" }\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n\
                    [dependencies.e]\nversion = \"1\"\n[lints]\nworkspace = true\n";
    let found = dependencies(manifest);
    let found: Vec<_> =
        found.iter().map(|(section, name)| (section.as_str(), name.as_str())).collect();
    let expected = [
        ("dependencies", "a"),
        ("dependencies", "b"),
        ("dev-dependencies", "c"),
        ("target.'cfg(unix)'.dependencies", "d"),
        ("dependencies", "e"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > LONGEST)
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert_eq!(long, [""; 0]);
}

#[test]
fn tests_run_and_wait_for_events() {
    let nowhere = [concat!("todo", "!("), concat!("#[ign", "ore"), concat!("should", "_panic")];
    let not_in_tests = concat!("sle", "ep(");
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        // testkit's own loop with a deadline, for what gives no event, is the one place to pause in.
        let is_test = |line: usize| {
            let in_module = text.lines().take(line).any(|line| line.trim() == "#[cfg(test)]");
            let is_file = path.contains("/tests/") || path.ends_with("tests.rs");
            (is_file || in_module || path.starts_with("testkit/")) && path != "testkit/src/watch.rs"
        };
        for (number, line) in code(&text) {
            let forbidden = nowhere.iter().find(|word| line.contains(**word));
            // A method of that name is Python's, over there: what is waited for, and not what waits.
            let pauses =
                line.match_indices(not_in_tests).any(|(at, _)| !line[..at].ends_with(['.', '_']));
            let sleeps = pauses && is_test(number);
            if forbidden.is_some() || sleeps {
                wrong.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_code_map_is_true() {
    let map = listed("code-map");
    let missing: Vec<_> = map.iter().filter(|path| !workspace().join(path).exists()).collect();
    assert!(missing.is_empty(), "the code map names what does not exist: {missing:?}");
    let folders = fs::read_dir(workspace().join("crates")).unwrap();
    for folder in folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let folder = format!("crates/{folder}");
        assert!(map.contains(&folder), "the code map does not name {folder}");
    }
}
