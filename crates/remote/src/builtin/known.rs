//! The keys by which hosts are known: the format of known_hosts, sshd(8).

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::hmac;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};

/// What is read of a file, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The port that names in the files stand for, unless they say another.
const DEFAULT_PORT: u16 = 22;

/// What the files say of one host.
#[derive(Debug, Default)]
pub(super) struct KnownHosts(Vec<Known>);

#[derive(Debug)]
struct Known {
    key: PublicKey,
    revoked: bool,
    /// It is known for another port of the host, the default one: good for trust, but not for distrust.
    elsewhere: bool,
    file: PathBuf,
    line: usize,
}

/// What they say of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    Unknown,
    /// Another key is known, in this line.
    Changed(PathBuf, usize),
    Revoked(PathBuf, usize),
}

impl KnownHosts {
    /// Reads what there is; files that are not there know no host, and lines that cannot be read are passed over.
    pub(super) fn read(files: &[PathBuf], host: &str, port: u16) -> KnownHosts {
        let mut known = KnownHosts::default();
        let name = name(host, port);
        for file in files {
            let mut text = Vec::new();
            let read = File::open(file).and_then(|f| f.take(LONGEST).read_to_end(&mut text));
            if let Err(error) = read {
                tracing::debug!(?file, %error, "no known hosts");
            }
            for (i, line) in String::from_utf8_lossy(&text).lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                match line.parse::<Entry>() {
                    Ok(entry) => known.add(&entry, &name, host, (file, i + 1)),
                    Err(error) => tracing::debug!(?file, line = i + 1, %error, "known hosts"),
                }
            }
        }
        known
    }

    fn add(&mut self, entry: &Entry, name: &str, host: &str, (file, line): (&Path, usize)) {
        let revoked = match entry.marker() {
            None => false,
            Some(Marker::Revoked) => true,
            // Certificates are not asked for, and an authority's key is no host's.
            Some(Marker::CertAuthority) => return,
        };
        let here = matches(entry.host_patterns(), name);
        let elsewhere = !here && matches(entry.host_patterns(), &host.to_lowercase());
        if here || elsewhere {
            let key = entry.public_key().clone();
            self.0.push(Known { key, revoked, elsewhere, file: file.into(), line });
        }
    }

    pub(super) fn verdict(&self, key: &PublicKey) -> Verdict {
        let same = |known: &&Known| known.key.key_data() == key.key_data();
        if let Some(known) = self.0.iter().filter(same).find(|known| known.revoked) {
            return Verdict::Revoked(known.file.clone(), known.line);
        }
        if self.0.iter().any(|known| same(&known)) {
            return Verdict::Known;
        }
        match self.0.iter().find(|known| !known.revoked && !known.elsewhere) {
            Some(known) => Verdict::Changed(known.file.clone(), known.line),
            None => Verdict::Unknown,
        }
    }

    /// These algorithms, those of known keys first: a server with several keys then shows one that can be checked.
    pub(super) fn prefer(&self, algorithms: &[Algorithm]) -> Vec<Algorithm> {
        let kind = |algorithm: &Algorithm| match algorithm {
            Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
            other => other.clone(),
        };
        let known: Vec<Algorithm> = self
            .0
            .iter()
            .filter(|known| !known.revoked)
            .map(|known| kind(&known.key.algorithm()))
            .collect();
        let (mut first, rest): (Vec<_>, Vec<_>) =
            algorithms.iter().cloned().partition(|algorithm| known.contains(&kind(algorithm)));
        first.extend(rest);
        first
    }
}

/// A host as the files name it.
fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    match port {
        DEFAULT_PORT => host,
        _ => format!("[{host}]:{port}"),
    }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let denied = |pattern: &str| {
                pattern.strip_prefix('!').is_some_and(|pattern| wildcard(pattern, name))
            };
            patterns.iter().any(|pattern| wildcard(pattern, name))
                && !patterns.iter().any(|pattern| denied(pattern))
        }
    }
}

/// Whether a pattern with `*` and `?` stands for the whole name, in time of the product of their lengths.
fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.as_bytes());
    let pattern = pattern.as_bytes();
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and how much of the name it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Remembers a key: one more line, written at once, so that others who do the same lose none of theirs.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn remember(file: &Path, host: &str, port: u16, key: &PublicKey) -> io::Result<()> {
    let text = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(io::Error::other)?;
    if let Some(folder) = file.parent() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut open = fs::OpenOptions::new();
    let mut file = open.read(true).append(true).create(true).mode(0o600).open(file)?;
    let mut line = format!("{} {}\n", name(host, port), text.trim_end());
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last != [b'\n'] {
        line.insert(0, '\n');
    }
    file.write_all(line.as_bytes())
}

/// As ssh shows it: `ssh-ed25519 SHA256:...`.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests;
