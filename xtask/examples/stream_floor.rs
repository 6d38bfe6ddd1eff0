//! What moving the output of a program costs at least, over TLS and over a Unix socket: no frames, no other thread, blocking
//! loops, to be measured against. It says nothing about who is let in, and has neither signals nor ends that can be told apart.
//!
//! `stream_floor serve FOLDER BYTES` prints a port of 127.0.0.1, and runs `head -c BYTES /dev/zero` for whoever connects there by TLS
//! or to `FOLDER/socket`. `stream_floor tls FOLDER PORT CHUNK` and `stream_floor unix FOLDER CHUNK` copy that to standard
//! output, `CHUNK` KiB at a time on both sides.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The name in the certificate, for which the client asks.
const NAME: &str = "localhost";
/// Where the server keeps its certificate, in its folder.
const CERTIFICATE: &str = "certificate.der";
const SOCKET: &str = "socket";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", folder, bytes] => serve(Path::new(folder), bytes),
        ["tls", folder, port, kib] => tls(Path::new(folder), port.parse()?, kib.parse()?),
        ["unix", folder, kib] => unix(Path::new(folder), kib.parse()?),
        _ => Err("serve FOLDER BYTES, tls FOLDER PORT KIB, or unix FOLDER KIB".into()),
    }
}

/// Until its input ends.
fn serve(folder: &Path, bytes: &str) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    fs::write(folder.join(CERTIFICATE), certified.cert.der())?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    let (config, bytes) = (Arc::new(config), bytes.to_owned());
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let unix = UnixListener::bind(folder.join(SOCKET))?;
    writeln!(io::stdout(), "{}", tcp.local_addr()?.port())?;

    let its_bytes = bytes.clone();
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            report(send_by_tls(stream, &config, &its_bytes));
        }
    });
    thread::spawn(move || {
        for stream in unix.incoming().flatten() {
            report(send_plainly(stream, &bytes));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "stream_floor: {error}");
    }
}

/// How many KiB are to be moved at once, as the client says first, in bytes.
fn chunk(from: &mut impl Read) -> Result<Vec<u8>> {
    let mut kib = [0; 2];
    from.read_exact(&mut kib)?;
    Ok(vec![0; usize::from(u16::from_be_bytes(kib)) << 10])
}

fn head(bytes: &str) -> Result<Child> {
    let mut head = Command::new("head");
    head.args(["-c", bytes, "/dev/zero"]).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(head.spawn()?)
}

fn send_plainly(mut to: UnixStream, bytes: &str) -> Result<()> {
    let mut chunk = chunk(&mut to)?;
    let mut head = head(bytes)?;
    let mut from = head.stdout.take().ok_or("no pipe")?;
    while let n @ 1.. = from.read(&mut chunk)? {
        to.write_all(&chunk[..n])?;
    }
    head.wait()?;
    Ok(())
}

fn send_by_tls(mut tcp: TcpStream, config: &Arc<ServerConfig>, bytes: &str) -> Result<()> {
    tcp.set_nodelay(true)?;
    let mut tls = ServerConnection::new(config.clone())?;
    tls.set_buffer_limit(None);
    let mut chunk = chunk(&mut rustls::Stream::new(&mut tls, &mut tcp))?;
    let mut head = head(bytes)?;
    let mut from = head.stdout.take().ok_or("no pipe")?;
    while let n @ 1.. = from.read(&mut chunk)? {
        tls.writer().write_all(&chunk[..n])?;
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
    }
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut tcp)?;
    }
    head.wait()?;
    Ok(())
}

fn unix(folder: &Path, kib: u16) -> Result<()> {
    let mut from = UnixStream::connect(folder.join(SOCKET))?;
    from.write_all(&kib.to_be_bytes())?;
    let mut out = io::stdout().lock();
    let mut chunk = vec![0; usize::from(kib) << 10];
    while let n @ 1.. = from.read(&mut chunk)? {
        write(&mut out, &chunk[..n])?;
    }
    Ok(())
}

fn tls(folder: &Path, port: u16, kib: u16) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(fs::read(folder.join(CERTIFICATE))?))?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from(NAME)?)?;
    let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_nodelay(true)?;
    rustls::Stream::new(&mut tls, &mut tcp).write_all(&kib.to_be_bytes())?;

    let mut out = io::stdout().lock();
    let mut sealed = vec![0; usize::from(kib) << 10];
    let mut plain = Vec::new();
    // rustls by itself reads a few KiB at a time, which is no good floor.
    while let n @ 1.. = tcp.read(&mut sealed)? {
        let mut sealed = &sealed[..n];
        while !sealed.is_empty() {
            tls.read_tls(&mut sealed)?;
            let arrived = tls.process_new_packets()?.plaintext_bytes_to_read();
            let before = plain.len();
            plain.resize(before + arrived, 0);
            tls.reader().read_exact(&mut plain[before..])?;
        }
        write(&mut out, &plain)?;
        plain.clear();
    }
    Ok(())
}

/// std's standard output keeps what follows the last line end until it is flushed.
fn write(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes)?;
    Ok(out.flush()?)
}
