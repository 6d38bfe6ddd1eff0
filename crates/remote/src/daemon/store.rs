//! The folder of keys: our own, whom we let in, and whom we go to.
//!
//! | file | what is in it |
//! |---|---|
//! | `server.key`, `client.key` | our private keys (PKCS#8 in PEM), made when they are first needed |
//! | `authorized` | a line for each client that may come in: fingerprint, date, name |
//! | `servers` | a line for each server that we know: `host:port`, fingerprint |
//! | `tokens/` | the tokens that may be used once: see [`pairing`](super::pairing) |
//! | `lock` | locked by whoever writes |
//!
//! Each has the mode 0600, the folders 0700. What is not ours, or others could have written, is refused when it is read, with a cure.
//! Files are replaced as a whole, so a crash or a full disk leaves the old one. Each call opens the folder anew: what was
//! changed counts at once, for servers that have run for long too.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thither_place::tls::{Fingerprint, Key};

use super::StoreError;
use super::files::{Folder, Secrecy};
use super::keys::{
    Peer, Wrong, authorized_line, parse_authorized, parse_servers, sanitised, server_name, without,
};

const AUTHORIZED: &str = "authorized";
const SERVERS: &str = "servers";

/// How many characters of a fingerprint tell whose it is, at least.
pub const SHORTEST_PREFIX: usize = 6;

/// The folder of keys. Nothing is made before there is something to write.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// That of the user: `thither/daemon` in the folder `XDG_CONFIG_HOME`, else in `.config` of `HOME`.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] where neither is an absolute path.
    pub fn open() -> Result<Store, StoreError> {
        // One that is relative is to be ignored: XDG Base Directory Specification 0.8.
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")));
        Ok(Store::at(folder.ok_or(StoreError::NoHome)?.join("thither/daemon")))
    }

    /// That at a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Store {
        Store { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that our server is known by.
    ///
    /// # Errors
    /// When it cannot be read, made, or trusted.
    pub fn server_key(&self) -> Result<Key, StoreError> {
        self.key("server.key")
    }

    /// The key that we are known by when we go to servers.
    ///
    /// # Errors
    /// As [`server_key`](Store::server_key).
    pub fn client_key(&self) -> Result<Key, StoreError> {
        self.key("client.key")
    }

    fn key(&self, name: &str) -> Result<Key, StoreError> {
        if let Some(key) = self.read_key(name)? {
            return Ok(key);
        }
        let folder = self.make()?;
        let _lock = folder.lock()?;
        // Somebody may have made it meanwhile.
        if let Some(key) = self.read_key(name)? {
            return Ok(key);
        }
        let file = folder.path_of(name);
        let failed = |source| StoreError::File { action: "make", file, source };
        let key = Key::generate().map_err(failed)?;
        folder.write(name, key.to_pem().as_bytes())?;
        Ok(key)
    }

    fn read_key(&self, name: &str) -> Result<Option<Key>, StoreError> {
        let Some(folder) = self.folder()? else { return Ok(None) };
        let Some(pem) = folder.read(name, Secrecy::Secret)? else { return Ok(None) };
        let no_key = |_| StoreError::Key { file: folder.path_of(name) };
        Key::from_pem(&pem).map(Some).map_err(no_key)
    }

    /// Who may come in, in the order of the file.
    ///
    /// # Errors
    /// When the file cannot be read or trusted, or a line of it says nothing: then nobody may.
    pub fn authorized(&self) -> Result<Vec<Peer>, StoreError> {
        let text = self.text(AUTHORIZED)?;
        parse_authorized(&text).map_err(|wrong| self.wrong(AUTHORIZED, wrong))
    }

    /// Lets a client come in from now on. Its name is kept as [`sanitised`] has it. One that is there already gets the new name
    /// and date.
    ///
    /// # Errors
    /// When the file cannot be read, written or trusted.
    pub fn authorize(&self, fingerprint: Fingerprint, name: &str) -> Result<(), StoreError> {
        let peer = Peer { fingerprint, added: SystemTime::now(), name: sanitised(name) };
        let folder = self.make()?;
        let _lock = folder.lock()?;
        // What could not be read later is not written.
        self.authorized()?;
        let mut text = without(&self.text(AUTHORIZED)?, &[fingerprint.to_string()]);
        text.extend_from_slice(authorized_line(&peer).as_bytes());
        folder.write(AUTHORIZED, &text)
    }

    /// Lets a client in no longer: the one of this fingerprint, of the only fingerprint that begins so ([`SHORTEST_PREFIX`]
    /// characters or more), or of this name. Returns its entries: one, unless the file was edited.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::Ambiguous`]; and as [`authorize`](Store::authorize).
    pub fn revoke(&self, whom: &str) -> Result<Vec<Peer>, StoreError> {
        let Some(folder) = self.folder()? else {
            return Err(StoreError::Unknown { text: whom.to_owned(), peers: Vec::new() });
        };
        let _lock = folder.lock()?;
        let peers = self.authorized()?;
        let found = find(whom, &peers)?;
        folder.write(AUTHORIZED, &without(&self.text(AUTHORIZED)?, &[found.to_string()]))?;
        Ok(peers.into_iter().filter(|peer| peer.fingerprint == found).collect())
    }

    /// The key of a server, if it is known.
    ///
    /// # Errors
    /// When the file cannot be read or trusted, a line of it says nothing, or that is no host.
    pub fn server(&self, host: &str, port: u16) -> Result<Option<Fingerprint>, StoreError> {
        let name = server_name(host, port)?;
        let mut servers = self.servers()?.into_iter();
        // Of two lines the later one counts, as `remember` adds at the end.
        Ok(servers.rfind(|(known, _)| *known == name).map(|(_, fingerprint)| fingerprint))
    }

    /// The servers that are known: `host:port`, with brackets around an IPv6 address.
    ///
    /// # Errors
    /// When the file cannot be read or trusted, or a line of it says nothing.
    pub fn servers(&self) -> Result<Vec<(String, Fingerprint)>, StoreError> {
        let text = self.text(SERVERS)?;
        parse_servers(&text).map_err(|wrong| self.wrong(SERVERS, wrong))
    }

    /// Keeps the key of a server, in place of the one that was known.
    ///
    /// # Errors
    /// When the file cannot be read, written or trusted, or that is no host.
    pub fn remember(
        &self,
        host: &str,
        port: u16,
        fingerprint: Fingerprint,
    ) -> Result<(), StoreError> {
        let name = server_name(host, port)?;
        let folder = self.make()?;
        let _lock = folder.lock()?;
        self.servers()?;
        let mut text = String::new();
        let _ = writeln!(text, "{name} {fingerprint}");
        let kept = without(&self.text(SERVERS)?, &[name]);
        folder.write(SERVERS, &[&kept, text.as_bytes()].concat())
    }

    /// Forgets the key of a server. Says whether it was known.
    ///
    /// # Errors
    /// As [`remember`](Store::remember).
    pub fn forget(&self, host: &str, port: u16) -> Result<bool, StoreError> {
        let name = server_name(host, port)?;
        let Some(folder) = self.folder()? else { return Ok(false) };
        let _lock = folder.lock()?;
        let known = self.servers()?.iter().any(|(known, _)| *known == name);
        if known {
            folder.write(SERVERS, &without(&self.text(SERVERS)?, &[name]))?;
        }
        Ok(known)
    }

    /// The folder, if it is there.
    pub(super) fn folder(&self) -> Result<Option<Folder>, StoreError> {
        Folder::open(&self.path)
    }

    /// The folder, made if it is missing.
    pub(super) fn make(&self) -> Result<Folder, StoreError> {
        Folder::make(&self.path)
    }

    fn text(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let Some(folder) = self.folder()? else { return Ok(Vec::new()) };
        let text = folder.read(name, Secrecy::Open)?;
        Ok(text.map(|text| text.to_vec()).unwrap_or_default())
    }

    fn wrong(&self, name: &str, (line, wrong): Wrong) -> StoreError {
        StoreError::Line { file: self.path.join(name), line, wrong }
    }
}

/// The one that is meant: a whole fingerprint is that alone; else all that begin so, and all of that name.
fn find(whom: &str, peers: &[Peer]) -> Result<Fingerprint, StoreError> {
    if let Ok(whole) = whom.parse::<Fingerprint>()
        && peers.iter().any(|peer| peer.fingerprint == whole)
    {
        return Ok(whole);
    }
    let begins = |peer: &Peer| {
        whom.len() >= SHORTEST_PREFIX && peer.fingerprint.to_string().starts_with(whom)
    };
    let meant: Vec<&Peer> = peers.iter().filter(|peer| peer.name == whom || begins(peer)).collect();
    let text = whom.to_owned();
    match meant.first() {
        None => Err(StoreError::Unknown { text, peers: peers.to_vec() }),
        Some(one) if meant.iter().all(|peer| peer.fingerprint == one.fingerprint) => {
            Ok(one.fingerprint)
        }
        Some(_) => Err(StoreError::Ambiguous { text, peers: meant.into_iter().cloned().collect() }),
    }
}
