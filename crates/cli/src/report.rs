//! What we say of ourselves, on standard error, and how our own output ends.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use thither::ConnectError;
use thither::error::{printable, quoted};

/// The exit code that says that we failed, and not the command. Those of a command are the command's own; 126 and
/// 127 come from [`thither::Error::shell_code`]. As docker run and env(1) do.
pub(crate) const FAILED: u8 = 125;

/// Why there is nothing more to do.
pub(crate) enum Failure {
    /// The command line is bad, or asks for help or the version.
    Usage(clap::Error),
    /// The address leads nowhere.
    Connect(ConnectError),
    /// The place failed.
    Place(thither::Error),
    /// Our standard output cannot be written.
    Output(io::Error),
    /// Anything else.
    Other { text: String, hint: Option<String>, code: u8 },
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure::Other { text: text.into(), hint: None, code: FAILED }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        match self {
            Failure::Other { text, code, .. } => {
                Failure::Other { text, hint: Some(hint.into()), code }
            }
            other => other,
        }
    }

    /// The same with another exit code than [`FAILED`].
    pub(crate) fn code(self, code: u8) -> Failure {
        match self {
            Failure::Other { text, hint, .. } => Failure::Other { text, hint, code },
            other => other,
        }
    }

    /// Says it, once, and gives the exit code.
    pub(crate) fn report(self) -> u8 {
        match self {
            Failure::Usage(error) if !error.use_stderr() => {
                let written = write_stdout(error.render().to_string().as_bytes());
                return written.map_or_else(Failure::report, |()| 0);
            }
            Failure::Usage(error) => complain(&usage_text(&error), Some(&usage_hint(&error))),
            Failure::Connect(error) => complain(&chain(&error), error.hint().as_deref()),
            // As for any tool whose reader has seen enough.
            Failure::Place(thither::Error::Terminal { source, .. })
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                return 0;
            }
            Failure::Place(error) => {
                complain(&chain(&error), error.hint());
                return error.shell_code();
            }
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return 0,
            Failure::Output(error) => {
                complain(&format!("cannot write to standard output: {}", cause(&error)), None);
            }
            Failure::Other { text, hint, code } => {
                complain(&text, hint.as_deref());
                return code;
            }
        }
        FAILED
    }
}

impl From<thither::ParseError> for Failure {
    fn from(error: thither::ParseError) -> Failure {
        Failure::Connect(error.into())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        Failure::Connect(error)
    }
}

impl From<thither::Error> for Failure {
    fn from(error: thither::Error) -> Failure {
        Failure::Place(error)
    }
}

/// Writes all of it to our standard output.
pub(crate) fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Says something that is no error.
pub(crate) fn say(text: &str) {
    put_line(&format!("thither: {}", printable(text)));
}

fn complain(text: &str, hint: Option<&str>) {
    put_line(&complaint(text, hint));
}

/// An error as we say it, without the last line break.
pub(crate) fn complaint(text: &str, hint: Option<&str>) -> String {
    let colour = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (red, cyan, plain) =
        if colour { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
    let mut lines = format!("{red}error:{plain} {}", printable(text));
    if let Some(hint) = hint {
        // Writing to a string cannot fail.
        let _ = write!(lines, "\n{cyan}hint:{plain} {}", printable(hint));
    }
    lines
}

/// Writes what is of our own making as it is. There is nobody to tell if it fails.
pub(crate) fn put(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// One write, so that lines of several programs do not mix. There is nobody to tell if it fails.
pub(crate) fn put_line(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {}", cause(error));
        source = error.source();
    }
    text
}

/// An error's text, in the words of strerror(3) without the number and the capital that Rust adds.
fn cause(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let errno = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    let Some(errno) = errno else { return text };
    let text = text.strip_suffix(&format!(" (os error {errno})")).unwrap_or(&text);
    // A word in capitals, as in `RPC`, stays as it is.
    match (text.chars().next(), text.chars().nth(1)) {
        (Some(first), Some('a'..='z' | ' ')) => {
            first.to_lowercase().to_string() + &text[first.len_utf8()..]
        }
        _ => text.to_owned(),
    }
}

/// What is wrong with the command line, in the form of our other errors.
fn usage_text(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(listed).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument => format!("unexpected argument {argument}"),
        // Not repeated: there may be a password in it.
        ErrorKind::InvalidSubcommand if verb_is_a_place(error) => "no verb before the place".into(),
        ErrorKind::InvalidSubcommand => {
            format!("unknown verb {}", context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => "no verb".into(),
        ErrorKind::MissingRequiredArgument => format!("missing {argument}"),
        ErrorKind::InvalidValue => match context(ContextKind::InvalidValue).as_str() {
            "" | "``" => format!("{argument} needs a value"),
            value => format!("bad value {value} for {argument}"),
        },
        ErrorKind::ArgumentConflict => match context(ContextKind::PriorArg) {
            prior if prior == argument => format!("{argument} is given twice"),
            prior => format!("{argument} and {prior} exclude each other"),
        },
        ErrorKind::TooManyValues => format!("{argument} takes no value"),
        // None of the others can come of our definitions.
        kind => kind.to_string(),
    }
}

fn usage_hint(error: &clap::Error) -> String {
    let first = |kinds: &[ContextKind]| {
        kinds.iter().filter_map(|kind| error.get(*kind)).map(listed).find(|list| !list.is_empty())
    };
    let suggested =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    if let Some(suggested) = first(&suggested) {
        // The likeliest comes last.
        let best = suggested.rsplit(", ").next().unwrap_or_default();
        return format!("did you mean {best}?");
    }
    if verb_is_a_place(error) {
        return "write `thither shell PLACE` or `thither run PLACE COMMAND`".into();
    }
    if let Some(valid) = first(&[ContextKind::ValidSubcommand, ContextKind::ValidValue]) {
        return format!("it is one of {valid}");
    }
    match (error.kind(), error.get(ContextKind::Usage)) {
        (ErrorKind::InvalidSubcommand, _) | (_, None) => "see `thither --help`".into(),
        (_, Some(usage)) => {
            let usage = usage.to_string();
            let words: Vec<&str> = usage.split_whitespace().skip(1).collect();
            format!("usage: {}", words.join(" "))
        }
    }
}

fn verb_is_a_place(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(text)) => text.contains(':'),
        _ => false,
    }
}

/// Each text of the value, quoted; a positional argument without its angle brackets.
fn listed(value: &ContextValue) -> String {
    let name = |text: &str| match text.strip_prefix('<') {
        Some(name) => quoted(name.trim_end_matches("...").trim_end_matches('>')),
        None => quoted(text),
    };
    match value {
        ContextValue::String(text) => name(text),
        ContextValue::Strings(texts) => {
            texts.iter().map(|text| name(text)).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}
