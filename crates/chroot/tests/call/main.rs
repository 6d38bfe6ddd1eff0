//! Functions of this program that run in a root. The main function is ours, as callers have to have it.

mod functions;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use functions::*;
use libtest_mimic::{Arguments, Trial};
use testkit::BusyboxRoot;
use thither_chroot::{CallError, Chroot, Functions, Mount, Overlay};

/// As libtest would find them.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($name), || {
            $name();
            Ok(())
        })),*]
    };
}

/// Two closures of one function, whose types have one name.
fn pair() -> (impl Fn(String) -> String + Send + Sync, impl Fn(String) -> String + Send + Sync) {
    (|text| format!("first {text}"), |text| format!("second {text}"))
}

fn main() {
    let (first, second) = pair();
    Functions::new()
        .register(add)
        .register(look)
        .register(odd_values)
        .register(fails)
        .register(panics)
        .register(ends)
        .register(says)
        .register(write)
        .register(leaves_a_daemon)
        .register(descriptors)
        .register(overwrites_its_program)
        .register(many_bytes)
        .register(unspeakable)
        .register(threads)
        .register(starts)
        .register(forks)
        .register(runs)
        .register(first)
        .register(second)
        .serve();
    let tests = tests![
        values_come_back,
        it_runs_inside,
        all_of_serde,
        errors_and_panics_come_back,
        an_end_without_a_value,
        streams_are_ours,
        user_directory_and_environment,
        errors_of_the_root,
        nothing_survives_a_call,
        no_descriptors_come_along,
        the_program_cannot_be_overwritten,
        a_program_that_was_replaced,
        large_values,
        values_that_cannot_be_encoded,
        unregistered,
        closures_with_one_name,
        what_it_starts_cannot_speak_for_it,
        what_is_read_only_stays_so_for_a_user,
        from_many_threads,
        as_an_ordinary_user,
        as_an_ordinary_user_replaced,
        closures,
        closures_of_an_ordinary_user,
        a_closure_beside_threads,
        an_argument_alone_runs_nothing,
        a_program_with_more_rights_takes_no_calls,
        an_overlay_and_mounts,
        the_working_directory_kept,
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// What it is told.
fn overwritten(root: &Path) -> String {
    let error = Chroot::new(root).call(overwrites_its_program, ()).unwrap_err().to_string();
    assert!(error.ends_with("ended without a value: exit code 9"), "{error}");
    fs::read_to_string(root.join("tmp/said")).unwrap()
}

macro_rules! busybox_root {
    () => {
        match BusyboxRoot::new() {
            Ok(root) => root,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

macro_rules! as_ordinary_user {
    ($($argument:expr),*) => {
        testkit::own_process!(|program| {
            let mut command = std::process::Command::new(program);
            command.args([$($argument),*] as [&str; _]);
            testkit::as_user(&mut command);
            command
        });
        if rustix::process::geteuid().is_root() {
            testkit::skip!("root in a place without other users");
        }
    };
}

fn values_come_back() {
    let root = busybox_root!();
    let chroot = Chroot::new(root.path());
    assert_eq!(chroot.call(add, (2, 40)).unwrap(), 42);
    assert_eq!(chroot.call(threads, 5).unwrap(), 10);
}

fn it_runs_inside() {
    let root = busybox_root!();
    fs::write(root.path().join("tmp/only here"), "").unwrap();
    let chroot = Chroot::new(root.path());
    assert_eq!(chroot.call(look, "/tmp".into()).unwrap(), ["only here"]);
    // Pid 1 and itself.
    let pids = chroot.call(look, "/proc".into()).unwrap();
    let pids: Vec<&String> = pids.iter().filter(|name| name.parse::<u32>().is_ok()).collect();
    assert_eq!(pids, ["1", "2"]);
}

fn all_of_serde() {
    let root = busybox_root!();
    let map = BTreeMap::from([((1, i128::MIN), None), ((2, 7), Some(f64::INFINITY))]);
    let odd = (map, vec![0, 255], '\u{10ffff}', Err("x".to_owned()));
    assert_eq!(Chroot::new(root.path()).call(odd_values, odd.clone()).unwrap(), odd);
}

fn errors_and_panics_come_back() {
    let root = busybox_root!();
    let chroot = Chroot::new(root.path());
    let error = chroot.call(fails, "/nonesuch".into()).unwrap().unwrap_err();
    assert_eq!(error, (2, "No such file or directory (os error 2)".to_owned()));
    let error = chroot.call(panics, "me".to_owned()).unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("`call::functions::panics` panicked: it was me\\u{1b}[31m (at "),
        "{text}"
    );
    assert!(text.contains("functions.rs:"), "{text}");
}

fn an_end_without_a_value() {
    let root = busybox_root!();
    let chroot = Chroot::new(root.path());
    let text = |code| chroot.call(ends, code).unwrap_err().to_string();
    assert_eq!(text(7), "`call::functions::ends` ended without a value: exit code 7");
    assert_eq!(text(0), "`call::functions::ends` ended without a value: exit code 0");
    assert_eq!(text(-9), "`call::functions::ends` ended without a value: signal 9");
}

fn streams_are_ours() {
    let root = busybox_root!();
    if std::env::var_os("TESTKIT_SAYS").is_some() {
        Chroot::new(root.path()).call(says, "without a newline".to_owned()).unwrap();
        std::io::stdout().write_all(b"once").unwrap();
        Chroot::new(root.path()).call_forked(|| 1).unwrap();
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "streams_are_ours", "--test-threads=1"]).env("TESTKIT_SAYS", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("without a newline"), "{output:?}");
    assert_eq!(said.matches("once").count(), 1, "{said}");
}

fn user_directory_and_environment() {
    let root = busybox_root!();
    if !testkit::is_root() {
        testkit::skip!("only root can become another user");
    }
    let chroot = Chroot::new(root.path()).user("guest").dir("/tmp").env("X", "1");
    let mut into = chroot.call(write, ("made".into(), "text".into())).unwrap();
    assert_eq!(into, Ok(()));
    let made = root.path().join("tmp/made");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(made).unwrap()), 1000);
    into = chroot.call(write, ("/etc/passwd".into(), "text".into())).unwrap();
    assert_eq!(into, Err("Permission denied (os error 13)".into()));
    assert_eq!(Chroot::new(root.path()).dir("/etc").call(look, ".".into()).unwrap()[0], "group");
}

fn errors_of_the_root() {
    let root = busybox_root!();
    let text = |chroot: &Chroot| chroot.call(add, (1, 1)).unwrap_err().to_string();
    assert_eq!(text(&Chroot::new("/nonesuch")), "cannot enter `chroot:/nonesuch`");
    let dir = Chroot::new(root.path()).dir("/nonesuch");
    let expected = "cannot change to the directory `/nonesuch` in `chroot:";
    assert!(text(&dir).starts_with(expected), "{}", text(&dir));
    let user = Chroot::new(root.path()).user("nobody-such");
    assert!(text(&user).starts_with("cannot become `nobody-such` in "), "{}", text(&user));
    let mount = Chroot::new(root.path()).mount(Mount::bind("/nonesuch"));
    assert!(text(&mount).starts_with("cannot mount `/nonesuch` on "), "{}", text(&mount));
}

fn nothing_survives_a_call() {
    let root = busybox_root!();
    let marker = testkit::Marker::new();
    let (name, value) = marker.variable();
    Chroot::new(root.path()).env(name, value).call(leaves_a_daemon, ()).unwrap();
    marker.assert_gone();
}

fn no_descriptors_come_along() {
    let root = busybox_root!();
    let _open = fs::File::open("/").unwrap();
    let found = Chroot::new(root.path()).call(descriptors, ()).unwrap();
    let strange: Vec<_> = found
        .iter()
        .filter(|(link, name)| {
            // Streams, the channel, and the folder that it reads.
            !["0", "1", "2"].contains(&name.as_str())
                && !link.starts_with("socket:")
                && !link.starts_with("/proc/")
                && !link.is_empty()
        })
        .collect();
    assert!(strange.is_empty(), "{found:?}");
}

fn the_program_cannot_be_overwritten() {
    let root = busybox_root!();
    let said = overwritten(root.path());
    assert!(said.contains("Text file busy"), "{said}");
}

/// Runs the test again by a copy of this program that is the user's own.
fn by_a_copy(test: &str) -> bool {
    if std::env::var_os("TESTKIT_COPY").is_some() {
        return false;
    }
    let copy = testkit::PublicCopy::of(std::env::current_exe().unwrap()).unwrap();
    let mut command = std::process::Command::new(copy.path());
    let output = command.args(["--exact", test]).env("TESTKIT_COPY", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    true
}

fn a_program_that_was_replaced() {
    let root = busybox_root!();
    if by_a_copy("a_program_that_was_replaced") {
        return;
    }
    fs::remove_file(std::env::current_exe().unwrap()).unwrap();
    let chroot = Chroot::new(root.path());
    assert_eq!(chroot.call(add, (2, 40)).unwrap(), 42);
    let said = overwritten(root.path());
    assert!(said.contains("Text file busy"), "{said}");
}

fn large_values() {
    let root = busybox_root!();
    let chroot = Chroot::new(root.path());
    let bytes = chroot.call(many_bytes, 3_000_000).unwrap();
    assert_eq!(bytes, many_bytes(3_000_000));
    let odd = (BTreeMap::new(), bytes, 'x', Ok(()));
    assert_eq!(chroot.call(odd_values, odd.clone()).unwrap(), odd);
}

fn values_that_cannot_be_encoded() {
    let root = busybox_root!();
    let error = Chroot::new(root.path()).call(unspeakable, ()).unwrap_err();
    assert_eq!(error.to_string(), "cannot encode the value of `call::functions::unspeakable`");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no words");
}

fn unregistered() {
    fn stranger(_: ()) {}
    let error = Chroot::new("/").call(stranger, ()).unwrap_err();
    assert_eq!(error.to_string(), "the function `call::unregistered::stranger` is not registered");
    assert!(error.hint().unwrap().contains("add it to `Functions`"));
}

fn closures_with_one_name() {
    // The two of main have the same name as types; so has a third one here, which is not registered.
    let error = Chroot::new("/").call(|text: String| text, String::new()).unwrap_err();
    assert!(matches!(error, CallError::Unregistered { .. }), "{error}");
    let root = busybox_root!();
    let (first, second) = pair();
    let chroot = Chroot::new(root.path());
    assert_eq!(chroot.call(first, "x".to_owned()).unwrap(), "first x");
    assert_eq!(chroot.call(second, "x".to_owned()).unwrap(), "second x");
}

fn what_it_starts_cannot_speak_for_it() {
    let root = busybox_root!();
    let forge = "#!/bin/sh\nfor f in 3 4 5 6 7 8 9; do echo forged >&$f; done 2>/dev/null; :\n";
    testkit::write_program(&root.path().join("tmp/forge"), forge);
    let value = Chroot::new(root.path()).call(starts, "/tmp/forge".into()).unwrap();
    assert_eq!(value, "honest");
    // A copy of itself that returns as well.
    let error = Chroot::new(root.path()).call(forks, ()).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "it is no reply");
}

fn what_is_read_only_stays_so_for_a_user() {
    as_ordinary_user!();
    let root = busybox_root!();
    let chroot = Chroot::new(root.path()).read_only(true);
    let said = chroot.call(runs, "mount -o remount,bind,rw /; touch /tmp/x 2>&1; id -u".into());
    let said = said.unwrap();
    assert!(said.ends_with("Read-only file system\n0\n"), "{said}");
}

fn from_many_threads() {
    let root = busybox_root!();
    let chroot = Chroot::new(root.path());
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|n| {
                (
                    n,
                    scope.spawn({
                        let chroot = &chroot;
                        move || chroot.call(add, (n, 1))
                    }),
                )
            })
            .collect();
        for (n, call) in calls {
            assert_eq!(call.join().unwrap().unwrap(), n + 1);
        }
    });
}

fn as_an_ordinary_user() {
    as_ordinary_user!();
    if by_a_copy("as_an_ordinary_user") {
        return;
    }
    let root = busybox_root!();
    let chroot = Chroot::new(root.path());
    assert_eq!(chroot.call(add, (2, 40)).unwrap(), 42);
    let said = overwritten(root.path());
    assert!(said.contains("Text file busy"), "{said}");
    assert_eq!(chroot.call(write, ("/etc/x".into(), "text".into())).unwrap(), Ok(()));
}

fn as_an_ordinary_user_replaced() {
    as_ordinary_user!();
    let root = busybox_root!();
    if by_a_copy("as_an_ordinary_user_replaced") {
        return;
    }
    fs::remove_file(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(Chroot::new(root.path()).call(add, (2, 40)).unwrap(), 42);
}

fn check_closures() {
    let root = busybox_root!();
    fs::write(root.path().join("tmp/x"), "inside").unwrap();
    let chroot = Chroot::new(root.path());
    let captured = [1, 2, 3];
    let mut changed = 0;
    let text = chroot
        .call_forked(|| {
            changed += captured.len();
            (fs::read_to_string("/tmp/x").unwrap(), changed)
        })
        .unwrap();
    assert_eq!((text, changed), (("inside".to_owned(), 3), 0));
    let error = chroot.call_forked(|| -> () { panic!("in a closure") }).unwrap_err().to_string();
    assert!(error.contains("panicked: in a closure (at "), "{error}");
    let error = chroot.clone().dir("/nonesuch").call_forked(|| ()).unwrap_err().to_string();
    assert!(error.starts_with("cannot change to the directory `/nonesuch`"), "{error}");
    let exit = chroot.call_forked(|| ends(-15)).unwrap_err().to_string();
    assert!(exit.ends_with("ended without a value: signal 15"), "{exit}");
}

fn closures() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        command.arg("--test-threads=1");
        command
    });
    check_closures();
}

fn closures_of_an_ordinary_user() {
    as_ordinary_user!("--test-threads=1");
    check_closures();
}

fn a_closure_beside_threads() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receiver.recv());
    let error = Chroot::new("/").call_forked(|| 1).unwrap_err();
    drop(sender);
    let _ = thread.join();
    assert!(matches!(error, CallError::Threads { threads: 2.. }), "{error}");
}

fn an_argument_alone_runs_nothing() {
    // As somebody might type it: no such descriptors, so it is an argument like any.
    for numbers in ["", "3", "70,71", "0,1", "3,3", "x,y", "3,4,3", "3,4,5,6"] {
        let mut command = std::process::Command::new("sh");
        let script = "exec 3</dev/null 4</; exec \"$0\" --thither-call=$1";
        let program = std::env::current_exe().unwrap();
        let output = command.args(["-c", script]).arg(program).arg(numbers).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("unexpected argument"), "{numbers}: {output:?}");
    }
}

fn a_program_with_more_rights_takes_no_calls() {
    use std::os::unix::fs::PermissionsExt;
    if !testkit::is_root() {
        testkit::skip!("only root can make a program that makes others root");
    }
    let copy = testkit::PublicCopy::of(std::env::current_exe().unwrap()).unwrap();
    for (mode, is_taken) in [(0o755, true), (0o4755, false)] {
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(mode)).unwrap();
        let mut command = std::process::Command::new("sh");
        let script = "exec 3</dev/null 4</; exec \"$0\" --thither-call=3,4";
        command.args(["-c", script]).arg(copy.path()).current_dir("/");
        let output = testkit::as_user(&mut command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("unexpected argument"), !is_taken, "{mode:o}: {output:?}");
        assert_eq!(output.status.code() == Some(125), is_taken, "{mode:o}: {output:?}");
    }
}

fn an_overlay_and_mounts() {
    let root = busybox_root!();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "").unwrap();
    let chroot = Chroot::new(root.path())
        .overlay(Overlay::Vanish)
        .mount(Mount::bind(folder.path()).at("/mnt/x"));
    assert_eq!(chroot.call(look, "/mnt/x".into()).unwrap(), ["f"]);
    assert_eq!(chroot.call(write, ("/etc/new".into(), "x".into())).unwrap(), Ok(()));
    assert!(!root.path().join("etc/new").exists());
    assert!(!root.path().join("mnt").exists());
}

fn the_working_directory_kept() {
    let root = busybox_root!();
    let here: Vec<String> = look(".".into());
    assert!(here.contains(&"Cargo.toml".to_owned()), "{here:?}");
    let chroot = Chroot::new(root.path()).skip_chdir(true);
    assert_eq!(chroot.call(look, ".".into()).unwrap(), here);
    let inside = Chroot::new(Path::new("/")).skip_chdir(true);
    if testkit::is_root() {
        assert_eq!(inside.call(look, ".".into()).unwrap(), here);
    }
}
