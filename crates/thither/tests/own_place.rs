//! A place of one's own, with what every place can do.

#[path = "../examples/own_place.rs"]
mod own_place;

use std::ffi::OsStr;
use std::fs;
use std::sync::Once;

use thither::{Address, Command, Operand};

/// Runs the example, which leaves its scheme registered.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| own_place::main().expect("the example works"));
}

/// What a shell at a place says.
#[track_caller]
fn check(address: &str, script: &str, expected: &str) {
    register();
    let place = thither::connect(address).expect(address);
    let output = place.output(&Command::new("sh").args(["-c", script])).expect(address);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(output.exit.success());
}

#[track_caller]
fn check_error(address: &str, expected: &str) {
    register();
    let error = thither::connect(address).err().expect(address);
    assert_eq!(format!("{error}; {}", error.hint().unwrap_or_default()), expected);
}

#[test]
fn commands() {
    check("umask:027", "umask", "0027\n");
    check("umask:027?dir=/usr&env=WHO=me", own_place::SCRIPT, "me in /usr has the mask 0027\n");
    check("umask:7?env=A=1&env=B=%26", "umask; echo $A $B", "0007\n1 &\n");
    check("umask:7?clear-env&env=A=1", "echo \"$A$HOME\"", "1\n");
    check("umask:%37", "umask", "0007\n");
}

#[test]
fn errors() {
    let wrong = "write `umask:MASK` with octal digits; ";
    check_error("umask:8", &format!("cannot make the place `umask:8`: {wrong}"));
    check_error(
        "umask:7?fast",
        "`umask:7` has no option `fast`; known options: `user`, `dir`, `env`, `clear-env`",
    );
    check_error("umsk:7", "unknown scheme `umsk`; did you mean `umask:`?");
    check_error("umask", "no place is named `umask`; did you mean `umask:`?");
    let error = thither::connect("kube:x").err().unwrap();
    let reachable =
        "places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `";
    assert!(error.hint().unwrap().starts_with(reachable), "{error:?}");
    assert!(error.hint().unwrap().contains(", `umask:`"), "{error:?}");
    check_error(
        "chroot:/|umask:7",
        "this build has no way from `chroot:/` to `umask:7` yet; go there in one hop",
    );
    let again = thither::register("umask", |_| Err("never")?).unwrap_err();
    assert_eq!(again.to_string(), "the scheme `umask` is registered already");
}

#[test]
fn files() {
    register();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("from"), "content").unwrap();
    let file = |name: &str| {
        let text = format!("umask:077?dir={}::{name}", folder.path().display());
        let Operand { place, path } = Operand::parse(text).unwrap();
        (place.unwrap().connect().unwrap(), path)
    };
    let ((from, source), (to, destination)) = (file("from"), file("to"));
    to.put(from.get(&source).unwrap(), &destination).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("to")).unwrap(), "content");
}

#[test]
fn addresses() {
    let address: Address = "umask:a%20b?dir=/".parse().unwrap();
    assert_eq!(address.to_string(), "umask:a%20b?dir=/");
    let own = thither::address::Target::Other("umask".into(), OsStr::new("a b").into());
    assert_eq!(address.hops()[0].target(), &own);
}

#[test]
fn one_makes_a_place_of_another() {
    register();
    thither::register("private", |request| {
        let mask = request.value("mask")?.and_then(OsStr::to_str).unwrap_or("077");
        // Another scheme can be registered meanwhile.
        let _ = thither::register("inner", |_| Err("never")?);
        Ok(thither::connect(format!("umask:{mask}"))?)
    })
    .unwrap();
    check("private:?mask=7", "umask", "0007\n");
    check("private:", "umask", "0077\n");
    check_error(
        "private:?mask=9",
        &format!("cannot make the place `umask:9`: {}", "write `umask:MASK` with octal digits; "),
    );
    thither::connect("inner:").err().expect("it makes none");
}
