//! `thither list`: what there is.

mod containers;
mod places;
mod ssh_config;

use std::fmt::Write;

use thither::error::{json, printable, quoted};

use crate::args::List;
use crate::report::{Failure, write_stdout};

/// `thither list`.
pub(crate) fn list(list: &List) -> Result<u8, Failure> {
    let rows = match list.place.as_deref() {
        None => places::all(list.names)?,
        Some(wanted) if wanted == "ssh:" || wanted == "ssh" => places::hosts(),
        Some(wanted) => {
            let text = wanted.to_string_lossy();
            match text.strip_prefix("docker:").or_else(|| text.strip_prefix("docker")) {
                Some(options) if options.is_empty() || options.starts_with('?') => {
                    containers::of_engine(options, list.names)?
                }
                _ => {
                    return Err(Failure::new(format!("cannot list {}", quoted(wanted))).hint(
                        "write `thither list`, `thither list ssh:` or `thither list docker:`",
                    ));
                }
            }
        }
    };
    let text = match () {
        () if list.names => rows.names(),
        () if list.json => rows.json(),
        () => rows.table(),
    };
    write_stdout(text.as_bytes())?;
    Ok(0)
}

/// What is listed: rows of texts that others have written.
pub(crate) struct Rows {
    /// The keys of the texts, in the order of JSON.
    pub(crate) keys: &'static [&'static str],
    pub(crate) rows: Vec<Vec<String>>,
    /// The columns of the table, as indices of the keys.
    pub(crate) columns: &'static [usize],
    /// The column that is completed by shells.
    pub(crate) name: usize,
}

impl Rows {
    /// Those names that need no quoting in any shell, a line each. The engine allows no others; one that lies may.
    fn names(&self) -> String {
        let is_plain = |name: &&str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        let names = self.rows.iter().map(|row| row[self.name].as_str());
        // A host is completed behind its scheme.
        let names = names.map(|name| name.strip_prefix("ssh:").unwrap_or(name));
        names.filter(is_plain).map(|name| format!("{name}\n")).collect()
    }

    pub(crate) fn table(&self) -> String {
        let column = |row: &[String]| -> Vec<String> {
            self.columns.iter().map(|column| printable(&row[*column])).collect()
        };
        let head = self.columns.iter().map(|column| self.keys[*column].to_uppercase()).collect();
        let rows: Vec<Vec<String>> =
            std::iter::once(head).chain(self.rows.iter().map(|row| column(row))).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        // Nothing follows the last.
        let mut widths: Vec<usize> = (0..self.columns.len()).filter_map(width).collect();
        widths.pop();
        let mut text = String::new();
        for row in &rows {
            for (column, width) in row.iter().zip(&widths) {
                // Writing to a string cannot fail.
                let _ = write!(text, "{column:width$}  ");
            }
            let _ = writeln!(text, "{}", row[row.len() - 1]);
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let object = |row: &Vec<String>| {
            let pairs = self.keys.iter().zip(row);
            let pairs = pairs.map(|(key, value)| format!("{}: {}", json(key), json(value)));
            format!("  {{{}}}", pairs.collect::<Vec<_>>().join(", "))
        };
        match self.rows.is_empty() {
            true => "[]\n".to_owned(),
            false => {
                let objects: Vec<String> = self.rows.iter().map(object).collect();
                format!("[\n{}\n]\n", objects.join(",\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str]) -> Rows {
        let row = |name: &&str| [name, "running", "\"x\""].map(str::to_owned).to_vec();
        Rows {
            keys: &["name", "state", "note"],
            rows: names.iter().map(row).collect(),
            columns: &[1, 0, 2],
            name: 0,
        }
    }

    #[test]
    fn tables() {
        let expected = "\
STATE    NAME      NOTE
running  web       \"x\"
running  a\\u{1b}b  \"x\"
";
        assert_eq!(rows(&["web", "a\x1bb"]).table(), expected);
        assert_eq!(rows(&[]).table(), "STATE  NAME  NOTE\n");
    }

    #[test]
    fn lists_for_programs() {
        let expected = r#"[
  {"name": "a\u001b\u00e9\ud83d\ude00", "state": "running", "note": "\"x\""}
]
"#;
        assert_eq!(rows(&["a\x1bé😀"]).json(), expected);
        assert_eq!(rows(&[]).json(), "[]\n");
    }

    #[test]
    fn lists_for_shells() {
        assert_eq!(rows(&["web-1.a_b", "$(rm)", "", "ssh:h", "ssh:$x"]).names(), "web-1.a_b\nh\n");
    }
}
