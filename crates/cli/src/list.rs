//! `thither list`: what there is.

use std::fmt::Write;
use std::time::Duration;

use thither::Address;
use thither::docker::Engine;
use thither::docker::list::Listed;
use thither::error::{printable, quoted};

use crate::args::List;
use crate::report::{Failure, write_stdout};

/// How long the engine may take for names that are to be completed.
const COMPLETION: Duration = Duration::from_secs(2);

/// `thither list`.
pub(crate) fn list(list: &List) -> Result<u8, Failure> {
    // The list is of the engine: the address is that of a container without its name.
    let text = list.place.to_string_lossy();
    let options = match text.strip_prefix("docker:").or_else(|| text.strip_prefix("docker")) {
        Some("") => "",
        Some(options) if options.starts_with('?') => options,
        _ => {
            return Err(Failure::new(format!("cannot list {}", quoted(&list.place)))
                .hint("it lists the containers of an engine: `thither list docker:`"));
        }
    };
    let address = Address::parse(format!("docker:x{options}"))?;
    let container = address.container()?.expect("its scheme is docker");
    let engine: &Engine = container.engine();
    // Whoever presses the tab key does not wait for long.
    let patient = engine.clone().limit(COMPLETION);
    let engine = if list.names { &patient } else { engine };
    let all = engine.containers(None).map_err(|error| error.at("docker:", None))?;
    let text = match () {
        () if list.names => names(&all),
        () if list.json => json(&all),
        () => table(&all),
    };
    write_stdout(text.as_bytes())?;
    Ok(0)
}

/// Those names that need no quoting in any shell. The engine allows no others; one that lies may.
fn names(all: &[Listed]) -> String {
    let is_plain = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let plain = all.iter().map(|listed| &listed.name).filter(|name| is_plain(name));
    plain.map(|name| format!("{name}\n")).collect()
}

fn columns(listed: &Listed) -> [String; 4] {
    let Listed { name, image, state, status, .. } = listed;
    [name, state, image, status].map(|text| printable(text))
}

fn table(all: &[Listed]) -> String {
    let head = ["NAME", "STATE", "IMAGE", "STATUS"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(all.iter().map(columns)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..3).filter_map(width).collect();
    let mut text = String::new();
    for [name, state, image, status] in &rows {
        let [a, b, c] = [widths[0], widths[1], widths[2]];
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:a$}  {state:b$}  {image:c$}  {status}");
    }
    text
}

fn json(all: &[Listed]) -> String {
    let objects: Vec<String> = all
        .iter()
        .map(|Listed { id, name, image, state, status }| {
            let pairs = [
                ("id", id),
                ("name", name),
                ("image", image),
                ("state", state),
                ("status", status),
            ];
            let pairs = pairs.map(|(key, value)| format!("{}: {}", quote(key), quote(value)));
            format!("  {{{}}}", pairs.join(", "))
        })
        .collect();
    match objects.is_empty() {
        true => "[]\n".to_owned(),
        false => format!("[\n{}\n]\n", objects.join(",\n")),
    }
}

/// A string of JSON, RFC 8259 section 7, with all that a terminal would obey escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(char);
            }
            ' '..='~' => quoted.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Listed {
        let text = |text: &str| text.to_owned();
        Listed {
            id: text("0f"),
            name: text(name),
            image: text("busybox"),
            state: text("running"),
            status: text("Up 2 \"minutes\""),
        }
    }

    #[test]
    fn tables() {
        let expected = "\
NAME      STATE    IMAGE    STATUS
web       running  busybox  Up 2 \"minutes\"
a\\u{1b}b  running  busybox  Up 2 \"minutes\"
";
        assert_eq!(table(&[listed("web"), listed("a\x1bb")]), expected);
    }

    #[test]
    fn lists_for_programs() {
        let expected = r#"[
  {"id": "0f", "name": "a\u001b\u00e9\ud83d\ude00", "image": "busybox", "state": "running", "status": "Up 2 \"minutes\""}
]
"#;
        assert_eq!(json(&[listed("a\x1bé😀")]), expected);
        assert_eq!(json(&[]), "[]\n");
    }

    #[test]
    fn lists_for_shells() {
        assert_eq!(names(&[listed("web-1.a_b"), listed("$(rm)"), listed("")]), "web-1.a_b\n");
    }
}
