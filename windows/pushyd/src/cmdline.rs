//! Arguments as the one line of text that a program of Windows takes apart.

/// Joins arguments so that CommandLineToArgvW and the C runtime of Microsoft find them again ("Parsing C command-line arguments",
/// learn.microsoft.com): the name cannot have a quote, and backslashes count double only before a quote.
#[must_use]
pub fn join(program: &str, args: &[String]) -> String {
    let mut line = format!("\"{program}\"");
    for arg in args {
        line.push(' ');
        quote(arg, &mut line);
    }
    line
}

fn quote(arg: &str, line: &mut String) {
    if !arg.is_empty() && !arg.contains([' ', '\t', '\n', '\u{b}', '"']) {
        line.push_str(arg);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for c in arg.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => line.extend(std::iter::repeat_n('\\', backslashes + 1)),
            _ => {}
        }
        if c != '\\' {
            backslashes = 0;
        }
        line.push(c);
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
}

/// What cmd.exe may act upon even between quotes, or that ends them. Nothing but refusing it is safe: CVE-2024-24576.
const TAKEN_APART: [char; 11] = ['"', '%', '!', '^', '&', '|', '<', '>', '\r', '\n', '\0'];

/// The line for cmd.exe that runs a batch file with these arguments.
///
/// # Errors
/// The text with which cmd.exe would do something of its own.
pub fn batch<'a>(cmd: &str, script: &'a str, args: &'a [String]) -> Result<String, &'a str> {
    let all = || std::iter::once(script).chain(args.iter().map(String::as_str));
    if let Some(bad) = all().find(|text| text.contains(TAKEN_APART)) {
        return Err(bad);
    }
    let quoted: Vec<String> = all().map(|text| format!("\"{text}\"")).collect();
    Ok(format!("\"{cmd}\" /e:ON /v:OFF /d /c \"{}\"", quoted.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[track_caller]
    fn check(args: &[&str], expected: &str) {
        assert_eq!(join("p", &strings(args)), format!("\"p\"{expected}"));
    }

    #[test]
    fn arguments() {
        check(&[], "");
        check(&["a", "b"], " a b");
        check(&["a b", "", "c\td"], " \"a b\" \"\" \"c\td\"");
        check(&[r"c:\x\", r"c:\x y\", r"\\h\s"], r#" c:\x\ "c:\x y\\" \\h\s"#);
        check(&[r#"a"b"#, r#"a\"b"#, r#"a\\"b\c"#], r#" "a\"b" "a\\\"b" "a\\\\\"b\c""#);
        check(&["\""], r#" "\"""#);
    }

    #[test]
    fn batch_files() {
        let args = strings(&["a b", "", r"c\"]);
        assert_eq!(
            batch("c", "x.cmd", &args),
            Ok(r#""c" /e:ON /v:OFF /d /c ""x.cmd" "a b" "" "c\"""#.into())
        );
        for bad in ["\"", "%PATH%", "a&b", "a|b", "a>b", "a\nb", "a^b", "a!b", "<"] {
            assert_eq!(batch("c", "x.cmd", &strings(&["good", bad])), Err(bad));
        }
        assert_eq!(batch("c", "x&y.cmd", &[]), Err("x&y.cmd"));
    }
}
