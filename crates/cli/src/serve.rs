//! `thither serve` and `thither pair`: daemons, and whom they know.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read};

use thither::Signals;
use thither::address::{Address, Target};
use thither::error::{printable, quoted};
use thither::remote::daemon::serve::{Format, Listen, Serve};
use thither::remote::daemon::{
    PORT, Samba, Store, StoreError, TOKEN_LIFETIME, Token, TokenError, pair,
};
use thither::remote::ssh::Secret;

use crate::args::serve::{Daemon, Keys, Log, Pair};
use crate::list::Rows;
use crate::report::{Failure, chain, say, write_stdout};

/// The signals that end a daemon.
const ENDING: [i32; 4] = [1, 2, 3, 15];
/// What a child's end is told by.
const CHILD: i32 = 17;
/// The exit code after ^C, as shells have it.
const INTERRUPTED: u8 = 130;
/// More than any token has, in bytes.
const LONGEST_TOKEN: u64 = 4096;

/// `thither serve`.
pub(crate) fn serve(serve: crate::args::serve::Serve) -> Result<u8, Failure> {
    match serve.what {
        None => daemon(serve.daemon),
        Some(Keys::Pair) => new_token(),
        Some(Keys::List { json }) => list(json),
        Some(Keys::Revoke { who }) => revoke(&who),
    }
}

fn daemon(daemon: Daemon) -> Result<u8, Failure> {
    // Before anything can be connected to.
    let signals = Signals::on(ENDING).map_err(|error| failed("wait for signals", &error))?;
    // Only so that it is not ignored, as whoever started us may have left it: then the kernel would keep from us how commands end, and
    // give their numbers to others at once (wait(2)).
    let _children = Signals::on([CHILD]).map_err(|error| failed("wait for commands", &error))?;
    let mut listen: Vec<Listen> = daemon.socket.into_iter().map(Listen::Unix).collect();
    for address in &daemon.listen {
        let tcp = Listen::tcp(address).map_err(|error| {
            Failure::new(format!("cannot listen at {}: {error}", quoted(address)))
                .hint("write an address of this machine, as in `--listen 192.0.2.1:10101`")
        })?;
        listen.push(tcp);
    }
    let samba = daemon.samba_pipe.map(|pipe| {
        Samba::new(&daemon.samba_folder, &pipe, daemon.samba_user).map_err(|error| {
            Failure::new(format!("cannot be a pipe of Samba's: {error}"))
                .hint("write `--samba-pipe thither --samba-user NAME`")
        })
    });
    let seconds = |seconds| std::time::Duration::from_secs(u64::from(seconds));
    let server = Serve {
        listen,
        samba: samba.transpose()?,
        keys: None,
        connections: daemon.connections as usize,
        strangers: daemon.strangers as usize,
        greeting: seconds(daemon.greeting),
        grace: seconds(daemon.grace),
        allow_root: daemon.allow_root,
        format: if daemon.log == Log::Json { Format::Json } else { Format::Text },
        interpreter: daemon.python.map(thither::shared_interpreter),
    };
    let server = server.bind().map_err(|error| {
        let failure = Failure::new(chain(&error));
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    server.run(&signals).map_err(|error| failed("serve", &error))?;
    Ok(0)
}

fn new_token() -> Result<u8, Failure> {
    let token = store()?.new_token(TOKEN_LIFETIME).map_err(|error| unkept(&error))?;
    write_stdout(format!("{}\n", *token.to_text()).as_bytes())?;
    if io::stderr().is_terminal() {
        let minutes = TOKEN_LIFETIME.as_secs() / 60;
        say(&format!("for one client, within {minutes} minutes: there, run `thither pair HOST`"));
    }
    Ok(0)
}

fn list(json: bool) -> Result<u8, Failure> {
    let peers = store()?.authorized().map_err(|error| unkept(&error))?;
    let rows = peers
        .into_iter()
        .map(|peer| vec![peer.fingerprint.to_string(), peer.added_text(), peer.name]);
    let rows = Rows {
        keys: &["fingerprint", "added", "name"],
        rows: rows.collect(),
        columns: &[0, 1, 2],
        name: 2,
    };
    let text = if json { rows.json() } else { rows.table() };
    write_stdout(text.as_bytes())?;
    Ok(0)
}

fn revoke(who: &str) -> Result<u8, Failure> {
    for peer in store()?.revoke(who).map_err(|error| unkept(&error))? {
        say(&format!("revoked {} {}", peer.fingerprint, printable(&peer.name)));
    }
    Ok(0)
}

/// `thither pair`.
pub(crate) fn pair_with(verb: &Pair) -> Result<u8, Failure> {
    let (host, port) = host_of(&verb.host)?;
    let token = token(&host)?;
    let name = match &verb.name {
        Some(name) => name.clone(),
        None => {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!(
                "{}@{node}",
                user.unwrap_or_else(|_| format!("uid{}", rustix::process::getuid().as_raw()))
            )
        }
    };
    pair(&host, port, &token, &name, &store()?)?;
    say(&format!("paired with {}", quoted(&verb.host)));
    Ok(0)
}

/// The host and port of `HOST[:PORT]`, with or without the scheme.
fn host_of(text: &OsStr) -> Result<(String, u16), Failure> {
    let no_host = || {
        Failure::new(format!("{} is no host to pair with", quoted(text)))
            .hint("write `thither pair HOST` or `thither pair HOST:PORT`")
    };
    let address = match text.to_str() {
        Some(text) if text.starts_with("daemon:") => text.to_owned(),
        Some(text) => format!("daemon:{text}"),
        None => return Err(no_host()),
    };
    let address: Address = address.parse()?;
    match address.hops() {
        [hop] => match hop.target() {
            Target::Daemon(thither::address::Daemon::Host { host, port }) => {
                Ok((host.clone(), port.unwrap_or(PORT)))
            }
            _ => Err(no_host()),
        },
        _ => Err(no_host()),
    }
}

/// The token, from the user's terminal or standard input: never from an argument, which others can read.
fn token(host: &str) -> Result<Token, Failure> {
    let text = match io::stdin().is_terminal() {
        true => {
            let question = format!("Token of {}: ", printable(host));
            let secret = Secret::ask(&question).map_err(|error| {
                let failure = failed("ask for the token", &error);
                match error.kind() {
                    io::ErrorKind::Interrupted => failure.code(INTERRUPTED),
                    _ => failure,
                }
            })?;
            String::from_utf8_lossy(secret.expose()).into_owned()
        }
        false => {
            let mut text = String::new();
            let read = io::stdin().lock().take(LONGEST_TOKEN).read_to_string(&mut text);
            read.map_err(|error| failed("read the token from standard input", &error))?;
            text
        }
    };
    let token: Result<Token, TokenError> = text.trim().parse();
    token.map_err(|error| Failure::new(error.to_string()).hint(error.hint()))
}

fn store() -> Result<Store, Failure> {
    Store::open().map_err(|error| unkept(&error))
}

fn unkept(error: &StoreError) -> Failure {
    let failure = Failure::new(chain(error));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn failed(action: &str, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {action}: {error}"))
}
