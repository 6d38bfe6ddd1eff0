//! `thither smb`: the service of a Windows host, set up from here.

mod program;

use std::ffi::OsStr;
use std::io::{self, BufRead, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use thither::address::{Address, Target};
use thither::error::{json, printable, quoted};
use thither::interact::die_interrupted;
use thither::remote::smb::PIPE;
use thither::remote::smb::install::svcctl::State;
use thither::remote::smb::install::{
    PROGRAM, Pipe, SERVICE, Service, Status, Step, install, status, uninstall,
};
use thither::{Error, Sender, Signals};

use crate::args::smb::{Host, What};
use crate::report::{Failure, put, say, write_stdout};

/// The signals that ask us to end, by their Linux numbers: HUP, INT, QUIT, TERM.
const SIGNALS: [i32; 4] = [1, SIGINT, 3, 15];
const SIGINT: i32 = 2;

/// `thither smb`.
pub(crate) fn smb(verb: crate::args::smb::Smb) -> Result<u8, Failure> {
    match verb.what {
        What::Install { program, yes, host } => set_up(program.as_deref(), yes, &host),
        What::Status { program, json, host } => show(program.as_deref(), json, &host),
        What::Uninstall { yes, host } => take_away(yes, &host),
    }
}

fn set_up(program: Option<&Path>, yes: bool, host: &Host) -> Result<u8, Failure> {
    can_ask(yes)?;
    let (path, bytes) = program::read(program)?;
    let (address, pipe) = (address(host)?, pipe_of(host)?);
    let size = bytes.len();
    let service = Service::new(bytes, pipe).map_err(|error| {
        Failure::new(match error {
            thither::remote::smb::install::BadService::NoProgram => {
                format!("cannot install {}: {error}", quoted(&path))
            }
            _ => format!("bad `--pipe`: {error}"),
        })
    })?;
    let plan = [
        format!(r"copy {} ({size} bytes) to ADMIN$\{PROGRAM}", quoted(&path)),
        format!(
            "make the service {SERVICE} of it, which starts with the host: {}",
            service.command()
        ),
        format!("start it, as LocalSystem, on the pipe {}", service.pipe()),
    ];
    agree(&address, &plan, yes)?;
    let smb = address.smb()?;
    let undone = "interrupted; nothing of it is left over there";
    watched(undone, |signals| install(&smb, &service, Some(signals.as_fd()), &mut tell))
}

fn take_away(yes: bool, host: &Host) -> Result<u8, Failure> {
    can_ask(yes)?;
    let address = address(host)?;
    let plan = [
        format!("stop the service {SERVICE}, with all that runs by it"),
        format!("delete the service {SERVICE}"),
        format!(r"remove ADMIN$\{PROGRAM}"),
    ];
    agree(&address, &plan, yes)?;
    let smb = address.smb()?;
    watched("interrupted", |signals| uninstall(&smb, Some(signals.as_fd()), &mut tell))
}

fn show(program: Option<&Path>, json: bool, host: &Host) -> Result<u8, Failure> {
    let program = match program {
        Some(_) => Some(program::read(program)?),
        None => program::read(None).ok(),
    };
    let smb = address(host)?.smb()?;
    let pipe = smb.settings().pipe.clone().unwrap_or_else(|| PIPE.into());
    let program = program.map(|(_, bytes)| bytes.into());
    watched("interrupted", |signals| {
        let status = status(&smb, program, Some(signals.as_fd()))?;
        Ok(if json { as_json(&status, &pipe) } else { as_text(&status, &pipe) })
    })
}

fn tell(step: Step) {
    say(&step.to_string());
}

/// What is told at the end of this, on standard output.
trait Told {
    fn told(self) -> String;
}

impl Told for () {
    fn told(self) -> String {
        String::new()
    }
}

impl Told for String {
    fn told(self) -> String {
        self
    }
}

/// Does this until a signal comes, and then says so.
fn watched<T: Told>(
    interrupted: &str,
    work: impl FnOnce(&Signals) -> Result<T, Error>,
) -> Result<u8, Failure> {
    let signals = Signals::on(SIGNALS)
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    match work(&signals) {
        Ok(told) => {
            write_stdout(told.told().as_bytes())?;
            Ok(0)
        }
        Err(Error::Cancelled { .. }) => {
            say(interrupted);
            let Some(received) = signals.next() else { return Ok(crate::report::FAILED) };
            // Whoever waits for us is to see that a ^C ended us.
            drop(signals);
            if (received.signal, received.sender) == (SIGINT, Sender::Kernel) {
                die_interrupted();
            }
            Ok(u8::try_from(128 + received.signal).unwrap_or(255))
        }
        Err(error) => Err(error.into()),
    }
}

/// The host's address, with the flags as options. A name alone is a place of the user's configuration, or else a host.
fn address(host: &Host) -> Result<Address, Failure> {
    let text = &host.host;
    let is_name = !text.as_bytes().iter().any(|byte| b":|\\".contains(byte));
    let named = Address::parse(text).ok().filter(|address| address.resolved().is_ok());
    let mut address = match named {
        Some(address) => address,
        None if is_name => {
            let mut address = OsStr::new("smb:").to_owned();
            address.push(text);
            Address::parse(address)?
        }
        None => Address::parse(text)?,
    };
    let resolved = address.resolved()?;
    if !matches!(resolved.hops().last().map(|hop| hop.target()), Some(Target::Smb(_))) {
        let shown = address.without_options().to_string();
        return Err(Failure::new(format!("{} is no host over SMB", quoted(shown)))
            .hint(r"write `HOST`, `\\HOST` or `smb:HOST`"));
    }
    for (key, value) in host.options() {
        address.set_option(key, value)?;
    }
    Ok(address)
}

/// The pipe that the address names, without anything that would ask for a password.
fn pipe_of(host: &Host) -> Result<String, Failure> {
    let address = address(host)?;
    let resolved = address.resolved()?;
    let options = resolved.hops().last().map(|hop| hop.options()).unwrap_or_default();
    let pipe = options.iter().find(|option| option.key == "pipe");
    let pipe = pipe.and_then(|option| option.value.as_deref());
    Ok(pipe.map_or_else(|| PIPE.into(), |pipe| pipe.to_string_lossy().into_owned()))
}

/// Whether there is somebody to ask.
fn can_ask(yes: bool) -> Result<(), Failure> {
    match yes || (io::stdin().is_terminal() && io::stderr().is_terminal()) {
        true => Ok(()),
        false => Err(Failure::new("there is no terminal to ask at").hint("say `--yes`")),
    }
}

/// Says what is going to be done, and asks.
fn agree(address: &Address, plan: &[String], yes: bool) -> Result<(), Failure> {
    say(&format!("on {}:", address.without_options()));
    for (index, step) in plan.iter().enumerate() {
        put(&format!("  {}. {}\n", index + 1, printable(step)));
    }
    if yes {
        return Ok(());
    }
    put("Go on? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => {
            if answer.is_empty() {
                put("\n");
            }
            Err(Failure::new("nothing was done"))
        }
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Stopped => "stopped",
        State::StartPending => "starting",
        State::StopPending => "stopping",
        State::Running => "running",
        State::ContinuePending => "continuing",
        State::PausePending => "pausing",
        State::Paused => "paused",
    }
}

fn as_text(status: &Status, pipe: &str) -> String {
    let program = match status.program {
        None => "none".to_owned(),
        Some(file) => {
            let same = match file.is_same {
                None => "",
                Some(true) => ", the same as here",
                Some(false) => ", another than here",
            };
            format!(r"ADMIN$\{PROGRAM}, {} bytes{same}", file.size)
        }
    };
    let service = match &status.service {
        None => "none".to_owned(),
        Some(service) => {
            let ours = if service.is_ours { "" } else { ", not ours" };
            let start = if service.is_automatic { "" } else { ", does not start with the host" };
            let command = quoted(&service.command);
            format!("{SERVICE}, {}{ours}{start}: {command}", state(service.state))
        }
    };
    let answers = match &status.pipe {
        Pipe::Answers => "answers".to_owned(),
        Pipe::Absent => "none".to_owned(),
        Pipe::Refuses(why) => printable(why),
    };
    format!("program: {program}\nservice: {service}\npipe {}: {answers}\n", printable(pipe))
}

/// `{"program": null or {"size", "same": null or a boolean}, "service": null or {"state", "command", "account", "automatic",
/// "ours"}, "pipe": {"name", "state", "why"}}`.
fn as_json(status: &Status, pipe: &str) -> String {
    let null = || "null".to_owned();
    let program = status.program.map_or_else(null, |file| {
        let same = file.is_same.map_or_else(null, |same| same.to_string());
        format!(r#"{{"size": {}, "same": {same}}}"#, file.size)
    });
    let service = status.service.as_ref().map_or_else(null, |service| {
        format!(
            r#"{{"state": {}, "command": {}, "account": {}, "automatic": {}, "ours": {}}}"#,
            json(state(service.state)),
            json(&service.command),
            json(&service.account),
            service.is_automatic,
            service.is_ours
        )
    });
    let (answers, why) = match &status.pipe {
        Pipe::Answers => ("answers", null()),
        Pipe::Absent => ("none", null()),
        Pipe::Refuses(why) => ("refuses", json(why)),
    };
    let name = json(pipe);
    let pipe = format!(r#"{{"name": {name}, "state": "{answers}", "why": {why}}}"#);
    format!("{{\"program\": {program}, \"service\": {service}, \"pipe\": {pipe}}}\n")
}
