//! Samba's server on loopback, with folders, a user and named pipes of its own.

mod pipe;
mod services;

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub use self::pipe::Pipe;
pub use self::services::Services;
use crate::sshd::PasswordUser;
use crate::user::public_folder;
use crate::{DEADLINE, find_program, is_root, wait_until};

/// Debian's `smbd` on a port of 127.0.0.1, with a user of its own. It writes nothing outside of a temporary folder.
///
/// It ends, with its connections, when it is dropped; and when this process ends, however.
#[derive(Debug)]
pub struct Smbd {
    folder: TempDir,
    port: u16,
    user: PasswordUser,
    /// A shell that waits for the end of its input, and then ends the server.
    keeper: Child,
}

/// What every server is told, smb.conf(5). A line of the test's own comes after and so wins.
///
/// No other program is started for pipes that nobody serves: they are not there.
const CONFIG: &str = "
server role = standalone server
workgroup = THITHER
netbios name = THITHERTEST
bind interfaces only = yes
interfaces = 127.0.0.1
disable netbios = yes
load printers = no
printcap name = /dev/null
disable spoolss = yes
map to guest = never
rpc start on demand helpers = no
log level = 1
";

/// The folders that must be of its own, by their options: what others leave there makes every logon fail.
const FOLDERS: [&str; 6] = [
    "private dir",
    "cache directory",
    "lock directory",
    "state directory",
    "pid directory",
    "ncalrpc dir",
];

/// Starts the server in a process namespace of its own, which ends whole with its first process; and that ends when the input
/// of this ends: when the test does.
const KEEPER: &str =
    "unshare --pid --fork --kill-child=KILL -- \"$@\" & read -r _; kill -KILL $! 2>/dev/null; wait";

/// What [`Smbd::windows`] has besides; the folder's name is put in.
const ADMIN: &str = "
[ADMIN$]
path = SHARE
read only = no
";
const SHARE: &str = "share";

/// How often another port is tried, when somebody else took it meanwhile.
const TRIES: usize = 5;

impl Smbd {
    /// Starts one.
    ///
    /// # Errors
    /// The reason for a skip: it is not installed, or we are not root, who alone can make its user.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Result<Smbd, String> {
        Smbd::options("")
    }

    /// Starts one that has the share of administrators as Windows does, which is a folder of its own.
    ///
    /// # Errors
    /// As [`start`](Smbd::start).
    ///
    /// # Panics
    /// As [`start`](Smbd::start).
    pub fn windows() -> Result<Smbd, String> {
        Smbd::options(ADMIN)
    }

    /// Starts one with further lines of smb.conf(5), in its section `[global]`, which win over its own.
    ///
    /// # Errors
    /// As [`start`](Smbd::start).
    ///
    /// # Panics
    /// As [`start`](Smbd::start).
    pub fn options(lines: &str) -> Result<Smbd, String> {
        let smbd = find_program("smbd")?;
        let smbpasswd = find_program("smbpasswd")?;
        find_program("unshare")?;
        if !is_root() {
            return Err("only root can start an smbd with a user of its own".into());
        }
        let user = PasswordUser::new()?;
        let folder = public_folder("thither-smbd").expect("a temporary folder");
        make_folders(folder.path());
        for _ in 1..TRIES {
            let port = free_port();
            configure(folder.path(), port, lines);
            set_password(&smbpasswd, folder.path(), &user);
            if let Some(keeper) = launch(&smbd, folder.path(), port) {
                return Ok(Smbd { folder, port, user, keeper });
            }
        }
        panic!("no port for smbd: {}", log(folder.path()));
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The user that it knows.
    #[must_use]
    pub fn user(&self) -> &str {
        self.user.name()
    }

    /// The password of that user.
    #[must_use]
    pub fn password(&self) -> &str {
        self.user.password()
    }

    /// Serves a named pipe from now on.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn pipe(&self, name: &str) -> Pipe {
        Pipe::listen(&self.folder.path().join("ncalrpc-dir/np").join(name.to_lowercase()))
    }

    /// Has a service manager of Windows from now on, behind the pipe `svcctl`.
    ///
    /// # Errors
    /// The reason for a skip.
    ///
    /// # Panics
    /// When it does not start.
    pub fn services(&self) -> Result<Services, String> {
        Services::listen(&self.folder.path().join("ncalrpc-dir/np/svcctl"))
    }

    /// The folder that is the share `ADMIN$` of [`windows`](Smbd::windows).
    #[must_use]
    pub fn share(&self) -> std::path::PathBuf {
        self.folder.path().join(SHARE)
    }

    /// The folder of the sockets behind its named pipes.
    #[must_use]
    pub fn pipes(&self) -> std::path::PathBuf {
        self.folder.path().join("ncalrpc-dir/np")
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        log(self.folder.path())
    }

    /// Kills it with all of its connections, as a host that goes down would.
    pub fn kill(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for Smbd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn make_folders(folder: &Path) {
    for option in FOLDERS {
        DirBuilder::new().mode(0o755).create(folder.join(dashed(option))).expect("a folder");
    }
    let share = folder.join(SHARE);
    fs::create_dir(&share).expect("a folder");
    fs::set_permissions(&share, fs::Permissions::from_mode(0o777)).expect("a folder of ours");
    // smbd refuses one that anybody else can enter.
    DirBuilder::new().mode(0o700).create(folder.join("ncalrpc-dir/np")).expect("a folder");
}

fn dashed(option: &str) -> String {
    option.replace(' ', "-")
}

fn configure(folder: &Path, port: u16, lines: &str) {
    let mut text = format!("[global]\n{CONFIG}smb ports = {port}\n");
    for option in FOLDERS {
        text += &format!("{option} = {}\n", folder.join(dashed(option)).display());
    }
    text += &format!("passdb backend = tdbsam:{}\n", folder.join("passdb.tdb").display());
    let lines = lines.replace("= SHARE", &format!("= {}", folder.join(SHARE).display()));
    text += &format!("log file = {}\n{lines}\n", folder.join("log").display());
    fs::write(folder.join("smb.conf"), text).expect("smb.conf");
}

fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    free.local_addr().expect("a bound socket").port()
}

fn set_password(smbpasswd: &Path, folder: &Path, user: &PasswordUser) {
    let mut command = Command::new(smbpasswd);
    command.arg("-c").arg(folder.join("smb.conf")).args(["-s", "-a", user.name()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("smbpasswd");
    let mut stdin = child.stdin.take().expect("a pipe");
    write!(stdin, "{0}\n{0}\n", user.password()).expect("smbpasswd reads");
    drop(stdin);
    let output = child.wait_with_output().expect("smbpasswd");
    assert!(output.status.success(), "smbpasswd: {}", String::from_utf8_lossy(&output.stderr));
}

fn launch(smbd: &Path, folder: &Path, port: u16) -> Option<Child> {
    let output = File::create(folder.join("output")).expect("a log");
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "sh"])
        .arg(smbd)
        .args(["--foreground", "--no-process-group", "--configfile"])
        .arg(folder.join("smb.conf"))
        .stdin(Stdio::piped())
        .stdout(output.try_clone().expect("a descriptor"))
        .stderr(output)
        .spawn()
        .expect("sh");
    let mut listens = None;
    wait_until(DEADLINE, "smbd to listen", || {
        listens = match () {
            () if log(folder).contains("open_sockets_smbd: No sockets available") => Some(false),
            () if log(folder).contains("Failed to open SMB sockets") => Some(false),
            () if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() => Some(true),
            () => None,
        };
        listens.is_some()
    });
    match listens {
        Some(true) => Some(keeper),
        _ => {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
            None
        }
    }
}

fn log(folder: &Path) -> String {
    let read = |name| fs::read(folder.join(name)).unwrap_or_default();
    String::from_utf8_lossy(&[read("output"), read("log")].concat()).into_owned()
}

#[cfg(test)]
mod tests;
