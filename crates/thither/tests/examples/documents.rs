//! What is shown in README.md and docs is code that is compiled and run here.

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let crates = Path::new(&here).parent().expect("a folder of crates");
    crates.parent().expect("a folder of the workspace").to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lines without their indentation; empty ones left out.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// The blocks between three backquotes with that word and three backquotes.
fn fenced<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or(block)).collect()
}

/// The blocks of a chapter whose lines are all indented.
fn indented(text: &str, chapter: &str) -> Vec<String> {
    let begin = format!("\n## {chapter}\n");
    let (_, chapter) = text.split_once(&begin).unwrap_or_else(|| panic!("no chapter {chapter}"));
    let chapter = chapter.split("\n## ").next().unwrap_or(chapter);
    let mut blocks = vec![String::new()];
    for line in chapter.lines() {
        match line.strip_prefix("    ") {
            Some(line) => *blocks.last_mut().unwrap() += &format!("{line}\n"),
            None if line.is_empty() => *blocks.last_mut().unwrap() += "\n",
            None => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// A block's lines stand in one of the sources, one after the other.
#[track_caller]
fn check(block: &str, sources: &[&str]) {
    let block = lines(block);
    let is_in =
        |source: &&str| lines(&read(source)).windows(block.len()).any(|window| window == block);
    assert!(sources.iter().any(is_in), "in none of {sources:?}: {block:#?}");
}

#[test]
fn code_of_the_way_from_pushy_is_run() {
    let text = read("docs/from-pushy.md");
    let blocks = fenced(&text, "rust");
    assert!(blocks.len() > 3, "{} blocks", blocks.len());
    for block in blocks {
        check(block, &["crates/thither/tests/examples/from_pushy.rs"]);
    }
}

/// By Python 3, though some of it is shown to those who have 2.
#[test]
fn python_code_compiles() {
    crate::needs_python!();
    let blocks = {
        let text = read("docs/from-pushy.md");
        fenced(&text, "python").join("\n")
    };
    let output = std::process::Command::new("python3")
        .args(["-c", "import sys; compile(sys.argv[1], 'docs', 'exec')", &blocks])
        .output()
        .expect("Python runs");
    assert!(!blocks.is_empty() && output.status.success(), "{output:?}");
}

#[test]
fn code_of_the_readme_is_run() {
    let text = read("README.md");
    let blocks = indented(&text, "Python");
    let of_rust: Vec<&String> = blocks.iter().filter(|block| block.contains("?;")).collect();
    assert!(!of_rust.is_empty(), "{blocks:#?}");
    for block in of_rust {
        check(block, &["crates/thither/tests/examples/from_pushy.rs"]);
    }
}
