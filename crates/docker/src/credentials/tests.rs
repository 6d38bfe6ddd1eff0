use std::fs;
use std::os::unix::fs::PermissionsExt;

use testkit::within_deadline;

use super::*;

fn config(json: &str) -> ConfigFile {
    serde_json::from_str(json).unwrap()
}

/// The header decoded, `none`, or the error.
fn found(lookup: &Lookup<'_>, image: &str) -> String {
    match lookup.for_image(image) {
        Ok(Some(credentials)) => {
            let shown = format!("{credentials:?} {:?}", credentials.header());
            assert!(!shown.contains("hunter2") && !shown.contains("ey"), "{shown}");
            let json = URL_SAFE.decode(credentials.header().reveal()).unwrap();
            String::from_utf8(json).unwrap()
        }
        Ok(None) => "none".into(),
        Err(error) => {
            let shown = format!("{error:?} {:?}", error.hint());
            assert!(!shown.contains("hunter2"), "{shown}");
            format!("error: {error}")
        }
    }
}

#[track_caller]
fn check(json: &str, image: &str, said: &str) {
    assert_eq!(found(&Lookup::new(&config(json)), image), said);
}

/// me:hunter2
const AUTH: &str = "bWU6aHVudGVyMg==";

fn auths(server: &str, auth: &str) -> String {
    format!(r#"{{"auths":{{"{server}":{{"auth":"{auth}"}}}}}}"#)
}

fn password(server: &str) -> String {
    format!(r#"{{"username":"me","password":"hunter2","serveraddress":"{server}"}}"#)
}

#[test]
fn of_the_file() {
    let hub = auths(DOCKER_HUB, AUTH);
    check(&hub, "debian", &password(DOCKER_HUB));
    check(&hub, "docker.io/me/x:1", &password(DOCKER_HUB));
    check(&hub, "ghcr.io/a/b", "none");
    check("{}", "debian", "none");
    check(&auths("ghcr.io", AUTH), "ghcr.io/a/b", &password("ghcr.io"));
    check(&auths("ghcr.io", AUTH), "debian", "none");
    check(&auths("localhost:5000", AUTH), "localhost:5000/x", &password("localhost:5000"));
    check(&auths("localhost:5000", AUTH), "localhost:5001/x", "none");
    // As older versions wrote them.
    check(&auths("https://r.example/v1/", AUTH), "r.example/x", &password("https://r.example/v1/"));
    check(&auths("r.example/v2", AUTH), "r.example/x", &password("r.example/v2"));
    check(&auths("ghcr.io", "bWU6aHVudGVyMg"), "ghcr.io/a", &password("ghcr.io"));
    // A password may have colons.
    let said = r#"{"username":"me","password":"a:b","serveraddress":"r.example"}"#;
    check(&auths("r.example", "bWU6YTpi"), "r.example/x", said);
    // Where a helper has the rest.
    check(r#"{"auths":{"r.example":{}}}"#, "r.example/x", "none");
}

#[test]
fn tokens() {
    let entry = r#"{"auths":{"r.example":{"auth":"","identitytoken":"hunter2"}}}"#;
    check(entry, "r.example/x", r#"{"serveraddress":"r.example","identitytoken":"hunter2"}"#);
    let entry = r#"{"auths":{"r.example":{"registrytoken":"hunter2"}}}"#;
    check(entry, "r.example/x", r#"{"serveraddress":"r.example","registrytoken":"hunter2"}"#);
    let entry = r#"{"auths":{"r.example":{"username":"me","password":"hunter2"}}}"#;
    check(entry, "r.example/x", &password("r.example"));
}

#[test]
fn damaged_entries() {
    let said = "error: the credentials for `r.example` in Docker's config.json are damaged";
    // No base64; no colon; no user; no UTF-8.
    for auth in ["hunter2!", "aHVudGVyMg==", "Omh1bnRlcjI=", "/zr/"] {
        check(&auths("r.example", auth), "r.example/x", said);
    }
}

#[test]
fn images_that_are_none() {
    check("{}", "Debian", "error: `Debian` names no image");
    check("{}", "a\nb", "error: `a\\nb` names no image");
    let config = config("{}");
    let lookup = Lookup::new(&config);
    assert!(lookup.for_registry("r.example").unwrap().is_none());
    for registry in ["", "x", "r.example/x", "https://r.example", "r.example\n"] {
        assert!(lookup.for_registry(registry).is_err(), "{registry}");
    }
}

/// The example of the Engine API's description, "Authentication", in base64url with padding.
#[test]
fn the_header_of_the_documentation() {
    let example = Credentials {
        username: Some("string".into()),
        password: Some(Secret::from("string".to_owned())),
        server: "string".into(),
        identitytoken: None,
        registrytoken: None,
    };
    let value =
        "eyJ1c2VybmFtZSI6InN0cmluZyIsInBhc3N3b3JkIjoic3RyaW5nIiwic2VydmVyYWRkcmVzcyI6InN0cmluZyJ9";
    assert_eq!(example.header().reveal(), value);
    // Both characters that base64url has for those of base64, and padding.
    let other = Credentials { password: Some(Secret::from("?>~ÿ".to_owned())), ..example };
    let value = other.header();
    assert!(
        value.reveal().ends_with('=') && value.reveal().contains(['-', '_']),
        "{}",
        value.reveal()
    );
    assert!(!value.reveal().contains(['+', '/']));
}

/// A folder with the helper `docker-credential-NAME`, a script of sh.
struct Helper(tempfile::TempDir);

impl Helper {
    fn new(name: &str, script: &str) -> Helper {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("docker-credential-{name}"));
        // Written by another process: no child of ours may have it open for writing when it is executed.
        testkit::write_program(&file, &format!("#!/bin/sh\n{script}\n"));
        Helper(folder)
    }

    fn said(&self, json: &str, image: &'static str, limit: Duration) -> String {
        let (config, path) = (config(json), self.0.path().as_os_str().to_owned());
        within_deadline("a helper", move || found(&Lookup { config: &config, path, limit }, image))
    }

    #[track_caller]
    fn check(&self, json: &str, image: &'static str, said: &str) {
        assert_eq!(self.said(json, image, testkit::DEADLINE), said);
    }
}

const STORE: &str = r#"{"credsStore":"x","auths":{"r.example":{}}}"#;

/// Answers with what it was asked.
const ANSWER: &str = r#"[ "$*" = get ] && IFS= read -r server || [ -n "$server" ] || exit 9
printf '{"ServerURL":"%s","Username":"me","Secret":"hunter2"}' "$server""#;

#[test]
fn of_helpers() {
    let helper = Helper::new("x", ANSWER);
    helper.check(STORE, "r.example/x", &password("r.example"));
    helper.check(STORE, "debian", &password(DOCKER_HUB));
    let for_one = r#"{"credHelpers":{"r.example":"x"}}"#;
    helper.check(for_one, "r.example/x", &password("r.example"));
    helper.check(for_one, "debian", "none");
    // The one for this registry goes before that for all, and both before the file.
    let both = format!(
        r#"{{"credsStore":"none","credHelpers":{{"r.example":"x"}},"auths":{{"r.example":{{"auth":"{AUTH}"}}}}}}"#
    );
    helper.check(&both, "r.example/x", &password("r.example"));
    helper.check(
        &both,
        "debian",
        "error: cannot run the credential helper `docker-credential-none`",
    );
    let token = Helper::new("x", r#"echo '{"Username":"<token>","Secret":"hunter2"}'"#);
    token.check(STORE, "r.example/x", r#"{"serveraddress":"r.example","identitytoken":"hunter2"}"#);
}

#[test]
fn helpers_that_fail() {
    let failed = "error: the credential helper `docker-credential-x` failed for `r.example`: ";
    let check =
        |script: &str, said: &str| Helper::new("x", script).check(STORE, "r.example/x", said);
    check("echo 'credentials not found in native keychain'; exit 1", "none");
    check("echo 'no \x1b[2J key'; echo more; exit 1", &format!("{failed}no \\u{{1b}}[2J key"));
    check("exit 3", &format!("{failed}exit status: 3"));
    check("kill -9 $$", &format!("{failed}signal: 9 (SIGKILL)"));
    check("printf 'x%.0s' $(seq 1000); exit 1", &format!("{failed}{}", "x".repeat(300)));
    let none =
        "error: the credential helper `docker-credential-x` gave no credentials for `r.example`";
    for script in [
        "exit 0",
        "echo hunter2",
        r#"echo '{"Username":"me"}'"#,
        r#"echo '{"Username":"me","Secret":""}'"#,
        r#"echo '{"Username":5,"Secret":"hunter2"}'"#,
    ] {
        check(script, none);
    }
    check(
        "head -c 3000000 /dev/zero",
        "error: cannot run the credential helper `docker-credential-x`",
    );
}

#[test]
fn helpers_that_do_not_end() {
    let said = "error: the credential helper `docker-credential-x` did not answer within 50ms";
    let limit = Duration::from_millis(50);
    for script in ["exec sleep 1000", "exec >&-; exec sleep 1000", "while :; do :; done"] {
        assert_eq!(Helper::new("x", script).said(STORE, "r.example/x", limit), said);
    }
    // What it leaves behind, with its standard output open, is not waited for. It ends when the fifo does.
    let leaves = r#"mkfifo "$0.end" && { read -r _ <"$0.end"; } &"#;
    let helper =
        Helper::new("x", &format!("{leaves}\nuntil [ -p \"$0.end\" ]; do :; done\n{ANSWER}"));
    helper.check(STORE, "r.example/x", &password("r.example"));
    let fifo = helper.0.path().join("docker-credential-x.end");
    within_deadline("the one that was left behind", || {
        drop(fs::OpenOptions::new().write(true).open(fifo))
    });
}

#[test]
fn helpers_elsewhere_are_not_run() {
    let helper = Helper::new("x", ANSWER);
    let config = config(STORE);
    let mut lookup = Lookup { config: &config, path: "relative:".into(), limit: LIMIT };
    let missing = "error: cannot run the credential helper `docker-credential-x`";
    assert_eq!(found(&lookup, "r.example/x"), missing);
    let file = helper.0.path().join("docker-credential-x");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    lookup.path = helper.0.path().into();
    assert_eq!(found(&lookup, "r.example/x"), missing);
    for name in ["../x", "/x", ".x", "-x", "x/y", "x y", "x\\n", "ä"] {
        let json = format!(r#"{{"credsStore":"{name}"}}"#);
        let said = format!("error: `{name}` is no name of a credential helper");
        check(&json, "r.example/x", &said);
    }
}
