//! With a real smbd in between, and impacket as the client of SMB.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::{DEADLINE, PasswordUser, find_program, wait_until};
use thither_place::wire::frame::{Arrived, Incoming};
use thither_place::wire::{Kind, Refusal, Side};
use thither_remote::daemon::serve::Serve;

use super::{run, samba, wanted};

/// Debian's, which has impacket from Debian.
const PYTHON: &str = "/usr/bin/python3";
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/samba/client.py");

/// An smbd on a port of its own, with all of its folders in one of ours.
struct Smbd {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Smbd {
    /// Starts it, or says why it cannot be.
    fn start() -> Result<Smbd, String> {
        let program = find_program("smbd")?;
        let impacket = Command::new(PYTHON).args(["-c", "import impacket"]).output();
        if !impacket.is_ok_and(|output| output.status.success()) {
            return Err("impacket is not installed (python3-impacket)".into());
        }
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let mut smbd = Smbd { folder, port, child: None };
        for name in ["private", "lock", "state", "cache", "pid", "ncalrpc/np"] {
            fs::create_dir_all(smbd.path(name)).unwrap();
        }
        fs::set_permissions(smbd.pipes(), Permissions::from_mode(0o700)).unwrap();
        fs::write(smbd.config(), smbd.settings()).unwrap();
        drop(free);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(program);
        command.args(["--foreground", "--no-process-group", "--configfile"]).arg(smbd.config());
        // When it ends, it ends its process group.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        smbd.child = Some(command.spawn().unwrap());
        wait_until(DEADLINE, "smbd", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Ok(smbd)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pipes(&self) -> PathBuf {
        self.path("ncalrpc/np")
    }

    fn config(&self) -> PathBuf {
        self.path("smb.conf")
    }

    fn settings(&self) -> String {
        let at = self.folder.path().display();
        let port = self.port;
        format!(
            "[global]
            server role = standalone server
            netbios name = TESTHOST
            private dir = {at}/private
            lock directory = {at}/lock
            state directory = {at}/state
            cache directory = {at}/cache
            pid directory = {at}/pid
            ncalrpc dir = {at}/ncalrpc
            log file = {at}/log
            passdb backend = tdbsam:{at}/private/passdb.tdb
            smb ports = {port}
            interfaces = lo
            bind interfaces only = yes
            disable netbios = yes
            map to guest = Bad User
            load printers = no
            disable spoolss = yes
            "
        )
    }

    /// Lets a user log in.
    fn add(&self, user: &PasswordUser) {
        let mut command = Command::new("smbpasswd");
        command.arg("-c").arg(self.config()).args(["-s", "-a", user.name()]);
        let password = user.password();
        let said = fed(&mut command, format!("{password}\n{password}\n").as_bytes());
        assert!(Path::new(&self.path("private/passdb.tdb")).exists(), "{said:?}");
    }

    /// The frames that a client gets.
    fn say(&self, user: &str, password: &str, bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        let mut command = Command::new(PYTHON);
        command.arg(CLIENT).args([&self.port.to_string(), user, password, "Thither"]);
        let said = fed(&mut command, bytes);
        let (mut rest, mut frames) = (&said[..], Vec::new());
        let mut incoming = Incoming::from(Side::Server);
        while !rest.is_empty() {
            match incoming.take(&mut rest).unwrap() {
                Some(Arrived::Data(kind, length)) => {
                    frames.push((kind, rest[..length].to_vec()));
                    rest = &rest[length..];
                }
                Some(Arrived::Frame(kind, body)) => frames.push((kind, body)),
                None => {}
            }
        }
        frames
    }
}

impl Drop for Smbd {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = child.wait();
    }
}

/// What a program prints that is given this.
#[track_caller]
fn fed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}

#[test]
fn a_client_of_a_real_smbd() {
    let users = PasswordUser::new().and_then(|user| Ok((user, PasswordUser::new()?)));
    let (smbd, (user, other)) = match users.and_then(|users| Ok((Smbd::start()?, users))) {
        Ok(started) => started,
        Err(reason) => testkit::skip!("{reason}"),
    };
    smbd.add(&user);
    smbd.add(&other);
    run(samba(&smbd.pipes(), &[user.name(), "nobody"]), Serve::default());

    let script = "id -un; pwd; echo $HOME; id -G; head -c 300000 /dev/zero; exit 7";
    let frames = smbd.say(user.name(), user.password(), &wanted("sh", &["-c", script]));
    let output: Vec<u8> = frames
        .iter()
        .filter(|(kind, _)| *kind == Kind::Output)
        .flat_map(|(_, body)| body.clone())
        .collect();
    let groups = Command::new("id").args(["-G", user.name()]).output().unwrap().stdout;
    let name = user.name();
    let mut expected = format!("{name}\n/home/{name}\n/home/{name}\n").into_bytes();
    expected.extend(groups);
    expected.resize(expected.len() + 300_000, 0);
    assert!(output == expected, "{} bytes: {:?}", output.len(), &output[..80.min(output.len())]);
    assert_eq!(frames[0].0, Kind::Welcome);
    assert_eq!(frames[1].0, Kind::Started);
    assert_eq!(frames.last().unwrap(), &(Kind::Exited, vec![0, 0, 0, 0, 7]));

    // One with a password who is not listed, and one whom smbd takes for a guest.
    for (user, password) in [(other.name(), other.password()), ("no-such-user", "x")] {
        let frames = smbd.say(user, password, &wanted("id", &[]));
        let [(Kind::Welcome, _), (Kind::Refused, body)] = &frames[..] else {
            panic!("{user}: {frames:?}");
        };
        assert_eq!(Refusal::decode(body).unwrap().text, "this user may not use the pipe");
    }
}
