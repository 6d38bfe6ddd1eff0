//! The folder of keys: whom it trusts, and what becomes of it when many write.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use expect_test::{Expect, expect};
use rustix::fs::{CWD, Mode, mkfifoat};
use thither_place::tls::{Fingerprint, Key};
use thither_remote::daemon::{Store, StoreError, TOKEN_LIFETIME};

/// A store with nothing in it, in a folder that vanishes with the first of the two.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("config/thither/daemon"));
    (folder, store)
}

fn fingerprint(n: u8) -> Fingerprint {
    [n; 32].into()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What is wrong, and what to do about it, without the folder's name.
fn said<T>(store: &Store, result: Result<T, StoreError>) -> String {
    let Err(error) = result else { return "ok\n".into() };
    let hint = error.hint().unwrap_or_else(|| "none".into());
    format!("{error}\n  hint: {hint}\n").replace(store.path().to_str().unwrap(), "[DIR]")
}

#[test]
fn nothing_is_made_before_it_is_needed() {
    let (folder, store) = store();
    assert_eq!(store.authorized().unwrap(), []);
    assert_eq!(store.server("a", 1).unwrap(), None);
    assert!(!store.forget("a", 1).unwrap() && !store.has_token().unwrap());
    assert_eq!(
        said(&store, store.revoke("a")),
        "no key or name `a` is known: there is none at all\n  hint: give a name, or the first 6 characters of a key or more\n"
    );
    assert!(!folder.path().join("config").exists());
}

#[test]
fn keys_are_made_once_and_for_us_alone() {
    let (folder, store) = store();
    let (server, client) = (store.server_key().unwrap(), store.client_key().unwrap());
    assert_ne!(server.fingerprint(), client.fingerprint());
    assert_eq!(store.server_key().unwrap().fingerprint(), server.fingerprint());
    assert_eq!(store.client_key().unwrap().fingerprint(), client.fingerprint());
    store.authorize(fingerprint(1), "a").unwrap();
    store.remember("a", 1, fingerprint(1)).unwrap();
    store.new_token(TOKEN_LIFETIME).unwrap();
    for file in ["server.key", "client.key", "authorized", "servers", "lock"] {
        assert_eq!(mode(store.path().join(file)), 0o600, "{file}");
    }
    for made in
        ["config", "config/thither", "config/thither/daemon", "config/thither/daemon/tokens"]
    {
        assert_eq!(mode(folder.path().join(made)), 0o700, "{made}");
    }
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 6, "no unfinished files");
}

#[test]
fn many_that_need_a_key_get_the_same() {
    let (_folder, store) = store();
    let keys: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| store.server_key().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().fingerprint()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

/// What is said of a file that was treated in each of these ways, when a key and who may come in are asked for.
#[track_caller]
fn check_treated(file: &str, ways: &[&dyn Fn(&Path)], expected: Expect) {
    let treated = |treat: &&dyn Fn(&Path)| {
        let (_folder, store) = store();
        store.server_key().unwrap();
        store.authorize(fingerprint(1), "a").unwrap();
        treat(&store.path().join(file));
        testkit::within_deadline("a fifo is not waited for", move || {
            said(&store, store.server_key().map(drop).and_then(|()| store.authorized().map(drop)))
        })
    };
    expected.assert_eq(&ways.iter().map(treated).collect::<String>());
}

#[test]
fn secrets_that_others_can_read() {
    check_treated(
        "server.key",
        &[
            &|file| set_mode(file, 0o400),
            &|file| set_mode(file, 0o640),
            &|file| set_mode(file, 0o604),
            &|file| set_mode(file, 0o602),
        ],
        expect![[r#"
            ok
            `[DIR]/server.key` cannot be trusted: others can read it
              hint: `chmod 600 [DIR]/server.key`
            `[DIR]/server.key` cannot be trusted: others can read it
              hint: `chmod 600 [DIR]/server.key`
            `[DIR]/server.key` cannot be trusted: others can write it
              hint: `chmod 600 [DIR]/server.key`
        "#]],
    );
}

#[test]
fn lists_that_others_can_write() {
    check_treated(
        "authorized",
        &[&|file| set_mode(file, 0o644), &|file| set_mode(file, 0o620), &|file| {
            set_mode(file, 0o646);
        }],
        expect![[r#"
            ok
            `[DIR]/authorized` cannot be trusted: others can write it
              hint: `chmod 600 [DIR]/authorized`
            `[DIR]/authorized` cannot be trusted: others can write it
              hint: `chmod 600 [DIR]/authorized`
        "#]],
    );
    check_treated(
        "",
        &[&|folder| set_mode(folder, 0o755), &|folder| set_mode(folder, 0o770)],
        expect![[r#"
            ok
            `[DIR]` cannot be trusted: others can write it
              hint: `chmod go-w [DIR]`
        "#]],
    );
}

#[test]
fn what_is_no_file() {
    let instead = |make: fn(&Path)| {
        move |file: &Path| {
            fs::remove_file(file).unwrap();
            make(file);
        }
    };
    check_treated(
        "authorized",
        &[
            &instead(|file| fs::create_dir(file).unwrap()),
            &instead(|file| symlink("/dev/null", file).unwrap()),
            &instead(|file| mkfifoat(CWD, file, Mode::RUSR).unwrap()),
            &|file| fs::write(file, vec![b'#'; (1 << 20) + 1]).unwrap(),
        ],
        expect![[r#"
            `[DIR]/authorized` cannot be trusted: it is no regular file
              hint: none
            `[DIR]/authorized` cannot be trusted: it is a link
              hint: none
            `[DIR]/authorized` cannot be trusted: it is no regular file
              hint: none
            `[DIR]/authorized` cannot be trusted: it is longer than 1048576 bytes
              hint: none
        "#]],
    );
}

#[test]
fn what_others_have_made() {
    if !testkit::is_root() {
        testkit::skip!("only root gives files away");
    }
    let away: &dyn Fn(&Path) = &|file| chown(file, Some(12345), None).unwrap();
    let expected = |name: &str| {
        format!(
            "`[DIR]/{name}` cannot be trusted: it belongs to the user 12345, and we are 0\n  hint: none\n"
        )
    };
    for name in ["server.key", "authorized", ""] {
        let (_folder, store) = store();
        store.server_key().unwrap();
        store.authorize(fingerprint(1), "a").unwrap();
        away(&store.path().join(name));
        let found = store.server_key().map(drop).and_then(|()| store.authorized().map(drop));
        assert_eq!(said(&store, found).replace("[DIR]`", "[DIR]/`"), expected(name));
    }
}

#[test]
fn contents_that_say_nothing() {
    check_treated(
        "authorized",
        &[
            &|file| fs::write(file, "# ok\n\n\0\n").unwrap(),
            &|file| fs::write(file, "x".repeat(100_000)).unwrap(),
            &|file| {
                fs::write(file, format!("{} 2026-01-01T00:00:00Z a\n", "!".repeat(43))).unwrap()
            },
        ],
        expect![[r#"
            `[DIR]/authorized`, line 3: the line holds characters that cannot be printed
              hint: correct that line, or remove it
            `[DIR]/authorized`, line 1: the line is too long
              hint: correct that line, or remove it
            `[DIR]/authorized`, line 1: there is no fingerprint of 43 characters
              hint: correct that line, or remove it
        "#]],
    );
    check_treated(
        "server.key",
        &[&|file| fs::write(file, "").unwrap(), &|file| fs::write(file, "secret").unwrap()],
        expect![[r#"
            `[DIR]/server.key` holds no Ed25519 private key that can be used
              hint: remove it: a new one is made, and whoever knew the old one pairs again
            `[DIR]/server.key` holds no Ed25519 private key that can be used
              hint: remove it: a new one is made, and whoever knew the old one pairs again
        "#]],
    );
}

#[test]
fn nothing_is_written_over_what_cannot_be_read() {
    let (_folder, store) = store();
    store.authorize(fingerprint(1), "a").unwrap();
    store.remember("a", 1, fingerprint(1)).unwrap();
    for file in ["authorized", "servers"] {
        fs::write(store.path().join(file), "hello\n").unwrap();
    }
    assert!(store.authorize(fingerprint(2), "b").is_err());
    assert!(store.revoke("a").is_err());
    assert!(store.remember("b", 1, fingerprint(2)).is_err());
    assert!(store.forget("a", 1).is_err());
    for file in ["authorized", "servers"] {
        assert_eq!(fs::read_to_string(store.path().join(file)).unwrap(), "hello\n");
    }
}

#[test]
fn who_may_come_in() {
    let (_folder, store) = store();
    store.authorize(fingerprint(1), " ann \x1b[1m laptop ").unwrap();
    store.authorize(fingerprint(2), "ben").unwrap();
    let file = store.path().join("authorized");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("# mine\n{text}")).unwrap();
    store.authorize(fingerprint(1), "ann").unwrap();
    let names = |store: &Store| {
        let peers = store.authorized().unwrap();
        peers.into_iter().map(|peer| (peer.fingerprint, peer.name)).collect::<Vec<_>>()
    };
    assert_eq!(names(&store), [(fingerprint(2), "ben".into()), (fingerprint(1), "ann".into())]);
    assert!(fs::read_to_string(&file).unwrap().starts_with("# mine\n"), "comments stay");
    store.authorize(fingerprint(3), "\x1b[1m laptop").unwrap();
    assert_eq!(names(&store)[2].1, "[1m laptop");
}

/// Whom `revoke` takes out, of peers with these names; their keys begin with the character of the table.
#[track_caller]
fn check_revoke(whom: &str, expected: Expect) {
    let (_folder, store) = store();
    // 0x41 is `A` in the middle of base64: `QUFB`, `QkJC`, ...
    for (n, name) in [(0x41, "ann"), (0x42, "ben"), (0x43, "ben"), (0x44, "QkJCQk")] {
        store.authorize(fingerprint(n), name).unwrap();
    }
    let names = |peers: Vec<thither_remote::daemon::Peer>| {
        peers.iter().map(|peer| peer.name.clone() + " ").collect::<String>()
    };
    let text = match store.revoke(whom) {
        Ok(gone) => format!("{}of {}\n", names(gone), names(store.authorized().unwrap())),
        error => {
            assert_eq!(store.authorized().unwrap().len(), 4);
            said(&store, error)
        }
    };
    expected.assert_eq(&text);
}

#[test]
fn who_may_come_in_no_longer() {
    check_revoke("ann", expect!["ann of ben ben QkJCQk \n"]);
    check_revoke(&fingerprint(0x42).to_string(), expect!["ben of ann ben QkJCQk \n"]);
    check_revoke("Q0NDQ0", expect!["ben of ann ben QkJCQk \n"]);
    check_revoke(
        "ben",
        expect![[r#"
            `ben` is not one alone: there is QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI (ben), Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0M (ben)
              hint: give more of the key
        "#]],
    );
    // A key that begins so, and a name.
    check_revoke(
        "QkJCQk",
        expect![[r#"
            `QkJCQk` is not one alone: there is QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI (ben), REREREREREREREREREREREREREREREREREREREREREQ (QkJCQk)
              hint: give more of the key
        "#]],
    );
    let unknown = |whom: &str| {
        format!(
            "no key or name `{whom}` is known: there is QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE (ann), "
        )
    };
    for whom in ["QUFBQ", "", "Ann", "an", &fingerprint(9).to_string()] {
        let (_folder, store) = store();
        for (n, name) in [(0x41, "ann"), (0x42, "ben")] {
            store.authorize(fingerprint(n), name).unwrap();
        }
        let text = said(&store, store.revoke(whom));
        assert!(text.starts_with(&unknown(whom)), "{text}");
    }
}

#[test]
fn servers_that_are_known() {
    let (_folder, store) = store();
    store.remember("Build.Example", 10101, fingerprint(1)).unwrap();
    store.remember("::1", 10101, fingerprint(2)).unwrap();
    store.remember("build.example", 1, fingerprint(3)).unwrap();
    assert_eq!(store.server("build.example", 10101).unwrap(), Some(fingerprint(1)));
    assert_eq!(store.server("[::1]", 10101).unwrap(), Some(fingerprint(2)));
    assert_eq!(store.server("build", 10101).unwrap(), None);
    store.remember("build.example", 10101, fingerprint(4)).unwrap();
    assert_eq!(store.server("BUILD.example", 10101).unwrap(), Some(fingerprint(4)));
    assert_eq!(store.servers().unwrap().len(), 3);
    assert!(store.forget("build.example", 10101).unwrap());
    assert!(!store.forget("build.example", 10101).unwrap());
    assert_eq!(store.server("build.example", 1).unwrap(), Some(fingerprint(3)));
    assert!(matches!(store.remember("a b", 1, fingerprint(1)), Err(StoreError::Host { .. })));
}

const WORKER: &str = "THITHER_TEST_STORE";
const EACH: u8 = 12;

#[test]
fn many_processes_that_write_lose_nothing() {
    // In each of the processes that it starts: their part.
    if let Some(part) = std::env::var_os(WORKER) {
        let part = part.into_string().unwrap();
        let (number, folder) = part.split_once(' ').unwrap();
        let (store, number) = (Store::at(folder), number.parse::<u8>().unwrap());
        for n in 0..EACH {
            let key = fingerprint(number * EACH + n);
            store.authorize(key, "worker").unwrap();
            store.remember(&format!("host-{number}-{n}"), 1, key).unwrap();
            store.authorize(Key::generate().unwrap().fingerprint(), "gone").unwrap();
            let _ = store.revoke("gone");
        }
        return;
    }
    let (_folder, store) = store();
    let work = |number: u8| {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--exact", "store::many_processes_that_write_lose_nothing"]);
        command.env(WORKER, format!("{number} {}", store.path().display()));
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let workers: Vec<_> = (0..6).map(work).collect();
    for mut worker in workers {
        let ended = testkit::within_deadline("a worker", move || worker.wait().unwrap());
        assert!(ended.success(), "{ended}");
    }
    let peers = store.authorized().unwrap();
    assert_eq!(peers.iter().filter(|peer| peer.name == "worker").count(), 6 * usize::from(EACH));
    assert_eq!(store.servers().unwrap().len(), 6 * usize::from(EACH));
}

#[test]
fn a_disk_that_is_full_leaves_what_was() {
    // As good as full: no file may grow (setrlimit(2), and SIGXFSZ is not to end us), in a process of its own.
    testkit::own_process!(|_| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
        command.arg(std::env::current_exe().unwrap());
        command
    });
    let (_folder, store) = store();
    let key = store.server_key().unwrap();
    let name = "a".repeat(64);
    let mut kept = 0;
    let error = (0..=255).map(fingerprint).find_map(|key| {
        let tried = store.authorize(key, &name).err();
        kept += usize::from(tried.is_none());
        tried
    });
    let text = said(&store, Err::<(), _>(error.unwrap()));
    assert_eq!(text, "cannot write `[DIR]/authorized`\n  hint: none\n");
    assert!(kept > 1);
    assert_eq!(store.authorized().unwrap().len(), kept);
    assert!(!store.path().join(".unfinished").exists());
    assert_eq!(store.server_key().unwrap().fingerprint(), key.fingerprint());
}
