//! `pushyd.exe`: runs what `smb:` places ask for on this Windows host, behind a named pipe, as the user who connected.
#![expect(clippy::print_stderr, reason = "it is a program")]

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    use pushyd::options;

    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let action = match options::parse(args) {
        Ok(action) => action,
        Err(why) => {
            eprintln!("pushyd: {why}");
            return 2.into();
        }
    };
    match act(action) {
        Ok(()) => 0.into(),
        Err(why) => {
            eprintln!("pushyd: {why}");
            1.into()
        }
    }
}

#[cfg(windows)]
fn act(action: pushyd::options::Action) -> Result<(), String> {
    use std::sync::Arc;

    use pushyd::options::{Action, HELP};
    use pushyd::service;
    use pushyd::sys::{console, event::Event, log::Log};

    let managed = |what: &str, done: windows_service::Result<()>| {
        done.map_err(|error| match &error {
            windows_service::Error::Winapi(source) => match source.raw_os_error() {
                Some(5) => format!("cannot {what} the service: run this as an administrator"),
                Some(1060) => {
                    format!("cannot {what} the service: install it first: `pushyd install`")
                }
                Some(1073) => {
                    format!("cannot {what} the service: it is there: `pushyd delete` removes it")
                }
                Some(1056) => format!("cannot {what} the service: it runs already"),
                Some(1062) => format!("cannot {what} the service: it does not run"),
                _ => format!("cannot {what} the service: {source}"),
            },
            _ => format!("cannot {what} the service: {error}"),
        })
    };
    match action {
        Action::Help => {
            use std::io::Write as _;
            // Who has read enough may go.
            let _ = writeln!(std::io::stdout(), "{HELP}");
        }
        Action::Run(options) => {
            let stop = Arc::new(Event::new().map_err(|error| error.to_string())?);
            console::stop_on_interrupt(Arc::clone(&stop)).map_err(|error| error.to_string())?;
            service::serve(&options, stop, Log::Stderr)
                .map_err(|_| String::from("nothing is served"))?;
        }
        Action::Service(options) => service::run(options).map_err(|error| {
            format!("only the service manager starts it so, use `pushyd run`: {error}")
        })?,
        Action::Install(options) => managed("install", service::install(&options))?,
        Action::Start => managed("start", service::start())?,
        Action::Stop => managed("stop", service::stop())?,
        Action::Delete => managed("delete", service::delete())?,
    }
    Ok(())
}

#[cfg(not(windows))]
fn main() -> std::process::ExitCode {
    eprintln!("pushyd: this is a program for Windows: `cargo xtask dist windows` makes it");
    2.into()
}
