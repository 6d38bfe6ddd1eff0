//! `thither list`: what there is.

use std::fmt::Write;

use thither::Address;
use thither::docker::Engine;
use thither::docker::list::Listed;
use thither::error::{printable, quoted};

use crate::args::List;
use crate::report::{Failure, write_stdout};

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
    let all = engine.containers(None).map_err(|error| error.at("docker:", Some("list")))?;
    let text = if list.json { json(&all) } else { table(&all) };
    write_stdout(text.as_bytes())?;
    Ok(0)
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
}
