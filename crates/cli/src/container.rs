//! What is about containers: `attach`, and images that have to be brought here first.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use thither::address::Target;
use thither::docker::image::Progress;
use thither::docker::settings::detach_keys;
use thither::error::quoted;
use thither::interact::{self, Interact, WhenToldToEnd, user_terminal};
use thither::{Address, docker};

use crate::args::Attach;
use crate::report::{self, Failure};
use crate::run::exit_code;

/// How often the line about a pull changes.
const INTERVAL: Duration = Duration::from_millis(200);

/// `thither attach`.
pub(crate) fn attach(attach: &Attach) -> Result<u8, Failure> {
    let mut address = Address::parse(&attach.place)?;
    if let Some(keys) = &attach.detach_keys {
        let keys = keys.to_str().ok_or_else(|| {
            Failure::new(format!("bad `--detach-keys`: {} is not UTF-8", quoted(keys)))
        })?;
        if let Err(error) = detach_keys(keys) {
            return Err(Failure::new(format!("bad `--detach-keys`: {error}"))
                .hint("write them as in `ctrl-p,ctrl-q`"));
        }
        address.set_option("detach-keys", Some(keys.into()))?;
    }
    let Some(container) = address.container()? else {
        // An unknown place says so itself.
        address.connect()?;
        let shown = quoted(address.without_options().to_string());
        return Err(Failure::new(format!("{shown} has no main process to attach to"))
            .hint("attach to a container, as in `docker:web`; `thither shell` starts a command"));
    };
    let when_told_to_end = match attach.sig_proxy {
        true => WhenToldToEnd::PassOn,
        false => WhenToldToEnd::LetGo,
    };
    let detach_keys = address.detach_keys()?;
    let options = Interact { detach_keys, when_told_to_end, ..Interact::default() };
    let how = docker::Attach {
        logs: attach.logs,
        no_stdin: attach.no_stdin,
        start: true,
        size: user_terminal(),
        ..docker::Attach::default()
    };
    let process = container.attach(&how)?;
    let ending = interact::attach(process, &options)?;
    tracing::debug!(?ending, "end");
    Ok(exit_code(ending, &address.without_options().to_string()))
}

/// Whether it is a fresh container of an image, which has a command of its own.
pub(crate) fn is_image(place: &OsStr) -> bool {
    let Ok(address) = Address::parse(place) else { return false };
    address.resolved().is_ok_and(|address| {
        matches!(address.hops().last().map(|hop| hop.target()), Some(Target::Image(_)))
    })
}

/// Brings the image here that an address needs, and shows how far it is.
pub(crate) fn bring_image(address: &Address) -> Result<(), Failure> {
    let Some(image) = address.image()? else { return Ok(()) };
    let mut line = Line { shown: false, next: Instant::now() };
    let brought = image.pull_if_missing(None, &mut |progress| line.show(progress));
    line.clear();
    Ok(brought?)
}

/// One line on standard error, if that is a terminal that can take it back.
struct Line {
    shown: bool,
    next: Instant,
}

impl Line {
    fn show(&mut self, progress: &Progress) {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let now = Instant::now();
        if dumb || !io::stderr().is_terminal() || now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.shown = true;
        let Progress { done, total, layers_done, layers } = *progress;
        let bar = match total {
            0 => String::new(),
            _ => {
                let filled = (done.saturating_mul(20) / total).min(20) as usize;
                let empty = 20 - filled;
                let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                format!(
                    " [{}{}] {:.1} of {:.1} MiB",
                    "#".repeat(filled),
                    " ".repeat(empty),
                    mib(done),
                    mib(total)
                )
            }
        };
        report::put(&format!("\rpull:{bar} {layers_done} of {layers} layers\x1b[K"));
        // There is nobody to tell if it fails.
        let _ = io::stderr().flush();
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            report::put("\r\x1b[K");
        }
    }
}
