//! What an exec costs at least: a blocking client on the engine's Unix socket that only does what has to be done, to be
//! measured against. It trusts the engine, forwards no signal and knows no size, mode or key.
//!
//! `floor SOCKET CONTAINER COMMAND...`, with `-t` ahead for a terminal, whose modes are the caller's business.

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// An old version that every engine speaks.
const API: &str = "/v1.24";
/// What is moved at once, in bytes.
const CHUNK: usize = 64 * 1024;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let tty = args.first().is_some_and(|arg| arg == "-t");
    if tty {
        args.remove(0);
    }
    match exec(&args, tty) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "floor: {error}");
            ExitCode::from(125)
        }
    }
}

fn exec(args: &[String], tty: bool) -> Result<u8> {
    let [socket, container, command @ ..] = args else { return Err("too few arguments".into()) };
    let words: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
    let mut control = UnixStream::connect(socket)?;
    let body = format!(
        r#"{{"AttachStdin":{tty},"AttachStdout":true,"AttachStderr":true,"Tty":{tty},"Cmd":[{}]}}"#,
        words.join(",")
    );
    post(&mut control, &format!("/containers/{container}/exec"), "", &body)?;
    let made = answer(&mut control)?;
    let id = field(&made, "\"Id\":\"").ok_or("no id")?.to_owned();

    let mut stream = UnixStream::connect(socket)?;
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
    let body = format!(r#"{{"Detach":false,"Tty":{tty}}}"#);
    post(&mut stream, &format!("/exec/{id}/start"), upgrade, &body)?;
    let (head, rest) = head(&mut stream)?;
    if !head.starts_with("HTTP/1.1 101") {
        return Err(head.into());
    }
    match tty {
        true => terminal(stream, &rest)?,
        false => frames(&mut (&rest[..]).chain(stream))?,
    }

    write!(control, "GET {API}/exec/{id}/json HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let state = answer(&mut control)?;
    Ok(field(&state, "\"ExitCode\":").ok_or("no exit code")?.parse()?)
}

fn post(stream: &mut UnixStream, path: &str, headers: &str, body: &str) -> Result<()> {
    let length = body.len();
    let request = format!(
        "POST {API}{path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    Ok(stream.write_all(request.as_bytes())?)
}

/// The head of an answer, and what came behind it.
fn head(stream: &mut UnixStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes)?, rest));
        }
        match stream.read(&mut chunk)? {
            0 => return Err("the engine is gone".into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// The body of a good answer of known length.
fn answer(stream: &mut UnixStream) -> Result<String> {
    let (head, mut body) = head(stream)?;
    let length: usize = field(&head, "Content-Length: ").ok_or("no length")?.parse()?;
    let have = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[have..])?;
    let body = String::from_utf8(body)?;
    match head.starts_with("HTTP/1.1 20") {
        true => Ok(body),
        false => Err(body.into()),
    }
}

/// What stands behind `name`, up to what ends a value in JSON or in a head.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_once(name)?.1.split(['"', ',', '}', '\r']).next()
}

/// Frames of `[stream u8][0 0 0][length u32be]` to standard output.
fn frames(from: &mut impl Read) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut frame = [0; 8];
        match from.read_exact(&mut frame) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let [.., a, b, c, d] = frame;
        let mut left = u32::from_be_bytes([a, b, c, d]) as usize;
        while left > 0 {
            let most = left.min(CHUNK);
            let n = from.read(&mut chunk[..most])?;
            if n == 0 {
                return Err("a frame is cut".into());
            }
            write(&mut out, &chunk[..n])?;
            left -= n;
        }
    }
}

fn terminal(stream: UnixStream, rest: &[u8]) -> Result<()> {
    let mut typed = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = io::stdin().lock().read(&mut chunk) {
            if typed.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
    });
    let mut out = io::stdout().lock();
    write(&mut out, rest)?;
    let mut from = stream;
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            n => write(&mut out, &chunk[..n])?,
        }
    }
}

/// std's standard output keeps what follows the last line end until it is flushed.
fn write(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes)?;
    Ok(out.flush()?)
}
