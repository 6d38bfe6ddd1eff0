use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;

/// A home folder, and the variables that a test sets.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, text: &str) -> &Home {
        let file = self.0.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    fn context(&self, name: &str, meta: &str) -> &Home {
        self.write(&format!(".docker/contexts/meta/{}/meta.json", context_id(name)), meta)
    }

    fn path(&self, path: &str) -> String {
        self.0.path().join(path).display().to_string()
    }

    fn settings(
        &self,
        selection: &Selection,
        variables: &[(&str, &str)],
    ) -> Result<Settings, SettingsError> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        let variable = |name: &str| match name {
            // Whatever runs on this machine.
            "XDG_RUNTIME_DIR" => {
                variables.get(name).map_or(Some("/nowhere".into()), |v| Some(v.into()))
            }
            _ => variables.get(name).map(OsString::from),
        };
        selection.of(variable, Some(self.0.path()))
    }

    /// The host, TLS and origin, or the error; `HOME` stands for the folder.
    #[track_caller]
    fn check_with(&self, selection: &Selection, variables: &[(&str, &str)], said: &str) {
        let found = match self.settings(selection, variables) {
            Ok(found) => {
                let tls = found.tls.map_or(String::new(), |tls| {
                    let file = |name: &str, file: &Option<PathBuf>| match file {
                        Some(file) => format!(" {name}={}", file.display()),
                        None => String::new(),
                    };
                    let files = [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)];
                    let files: String = files.iter().map(|(n, f)| file(n, f)).collect();
                    format!(" tls{files}{}", if tls.insecure { " insecure" } else { "" })
                });
                format!("{}{tls} ({})", found.host, found.origin)
            }
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(found.replace(&self.path(""), "HOME/"), said);
    }

    #[track_caller]
    fn check(&self, variables: &[(&str, &str)], said: &str) {
        self.check_with(&Selection::default(), variables, said);
    }
}

fn context_id(name: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

const ONE: &str = r#"{"Name":"one","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///one","SkipTLSVerify":false}}}"#;

#[test]
fn the_first_that_is_set() {
    let home = Home::new();
    home.context("one", ONE).context("two", &ONE.replace("/one", "/two"));
    home.write(".docker/config.json", r#"{"currentContext":"one"}"#);
    let (host, context) = (("DOCKER_HOST", "unix:///h"), ("DOCKER_CONTEXT", "two"));
    home.check(&[host, context], "unix:///h (`DOCKER_HOST`)");
    home.check(&[context], "unix:///two (context `two`)");
    home.check(&[], "unix:///one (context `one`)");
    home.check(&[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "")], "unix:///one (context `one`)");
    home.check(&[("DOCKER_CONTEXT", "default")], "unix:///var/run/docker.sock (the default)");
    home.check(&[("DOCKER_HOST", " ")], "unix:///var/run/docker.sock (`DOCKER_HOST`)");
    home.check(&[("DOCKER_CONFIG", "/nowhere")], "unix:///var/run/docker.sock (the default)");

    let asked = Selection { context: Some("two".into()), ..Selection::default() };
    home.check_with(&asked, &[host], "unix:///two (context `two`)");
    let asked = Selection { context: Some("default".into()), ..Selection::default() };
    home.check_with(&asked, &[host], "unix:///h (`DOCKER_HOST`)");
    let asked = Selection { host: Some("/x".into()), ..Selection::default() };
    home.check_with(&asked, &[host, context], "unix:///x (the option `host`)");
    let asked = Selection { context: Some("two".into()), ..asked };
    home.check_with(&asked, &[], "error: a Docker host and a Docker context were both asked for");
}

#[test]
fn tls_of_variables() {
    let home = Home::new();
    let host = ("DOCKER_HOST", "tcp://h");
    let verify = ("DOCKER_TLS_VERIFY", "1");
    home.check(
        &[host, verify],
        "error: there is no certificate authority at `HOME/.docker/ca.pem`",
    );
    home.check(&[host, ("DOCKER_TLS", "1")], "tcp://h:2376 tls insecure (`DOCKER_HOST`)");
    home.write(".docker/ca.pem", "")
        .write("c/ca.pem", "")
        .write("c/cert.pem", "")
        .write("c/key.pem", "");
    home.check(&[host, verify], "tcp://h:2376 tls ca=HOME/.docker/ca.pem (`DOCKER_HOST`)");
    // Set is set, whatever to.
    home.check(
        &[host, ("DOCKER_TLS_VERIFY", "0")],
        "tcp://h:2376 tls ca=HOME/.docker/ca.pem (`DOCKER_HOST`)",
    );
    let folder = home.path("c");
    let all = "tls ca=HOME/c/ca.pem cert=HOME/c/cert.pem key=HOME/c/key.pem";
    home.check(
        &[host, verify, ("DOCKER_CERT_PATH", &folder)],
        &format!("tcp://h:2376 {all} (`DOCKER_HOST`)"),
    );
    home.check(
        &[host, ("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", &folder)],
        &format!("tcp://h:2376 {all} insecure (`DOCKER_HOST`)"),
    );
    home.check(&[verify], "tcp://localhost:2376 tls ca=HOME/.docker/ca.pem (the default)");
    home.check(&[verify, ("DOCKER_HOST", "unix:///x")], "unix:///x (`DOCKER_HOST`)");
}

#[test]
fn tcp_without_tls_stays_here() {
    let home = Home::new();
    let said =
        "error: `DOCKER_HOST` is `tcp://h:2375`, which is neither encrypted nor on this machine";
    home.check(&[("DOCKER_HOST", "tcp://h")], said);
    let asked = Selection { plain_tcp: true, ..Selection::default() };
    home.check_with(&asked, &[("DOCKER_HOST", "tcp://h")], "tcp://h:2375 (`DOCKER_HOST`)");
    home.check(&[("DOCKER_HOST", "tcp://[::1]:5")], "tcp://[::1]:5 (`DOCKER_HOST`)");
    home.context("far", &ONE.replace("unix:///one", "tcp://far"));
    let said =
        "error: context `far` is `tcp://far:2375`, which is neither encrypted nor on this machine";
    home.check(&[("DOCKER_CONTEXT", "far")], said);
    let error = home.settings(&Selection::default(), &[("DOCKER_HOST", "tcp://h")]).unwrap_err();
    assert!(error.hint().unwrap().contains("plain-tcp"));
}

#[test]
fn contexts() {
    let home = Home::new();
    home.context("t", &ONE.replace("unix:///one", "tcp://h"));
    let folder = format!(".docker/contexts/tls/{}/docker", context_id("t"));
    home.write(&format!("{folder}/ca.pem"), "");
    let said = format!("tcp://h:2376 tls ca=HOME/{folder}/ca.pem (context `t`)");
    home.check(&[("DOCKER_CONTEXT", "t")], &said);
    // Those of the variables are not for it.
    home.check(&[("DOCKER_CONTEXT", "t"), ("DOCKER_TLS", "1")], &said);
    home.context("s", &ONE.replace("unix:///one", "tcp://h:5").replace("false", "true"));
    home.check(&[("DOCKER_CONTEXT", "s")], "tcp://h:5 tls insecure (context `s`)");
    home.context("e", &ONE.replace("unix:///one", ""));
    home.check(&[("DOCKER_CONTEXT", "e")], "unix:///var/run/docker.sock (context `e`)");
    home.context("ssh", &ONE.replace("unix:///one", "ssh://me@h"));
    home.check(
        &[("DOCKER_CONTEXT", "ssh")],
        "error: context `ssh` is `ssh://...@h`, where we have no way to go",
    );

    home.check(&[("DOCKER_CONTEXT", "none")], "error: Docker has no context `none`");
    home.check(&[("DOCKER_CONTEXT", "../../x")], "error: Docker has no context `../../x`");
    home.context("k", r#"{"Endpoints":{"kubernetes":{}}}"#)
        .context("w", r#"{"Endpoints":{"docker":5}}"#);
    home.check(&[("DOCKER_CONTEXT", "k")], "error: Docker's context `k` names no engine");
    home.check(&[("DOCKER_CONTEXT", "w")], "error: Docker's context `w` names no engine");
    home.context("j", "{\n  hello");
    let said = format!(
        "error: `HOME/.docker/contexts/meta/{}/meta.json` is not what Docker keeps there, at line 2, column 3",
        context_id("j")
    );
    home.check(&[("DOCKER_CONTEXT", "j")], &said);
}

#[test]
fn the_docker_cli_agrees() {
    let Ok(docker) = testkit::find_program("docker") else {
        testkit::skip!("no docker CLI");
    };
    let home = Home::new();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(&docker);
        command.args(arguments).env_clear().env("HOME", home.0.path());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    for name in ["one", "two.x"] {
        let socket = format!("host=unix:///{name}");
        run(&["context", "create", name, "--docker", &socket], &[]);
    }
    run(&["context", "use", "one"], &[]);
    let (host, context) = (("DOCKER_HOST", "unix:///h"), ("DOCKER_CONTEXT", "two.x"));
    let other = home.path("other");
    let cases: &[&[(&str, &str)]] = &[
        &[],
        &[host],
        &[context],
        &[host, context],
        &[("DOCKER_CONTEXT", "default")],
        &[("DOCKER_CONTEXT", ""), ("DOCKER_HOST", "")],
        &[context, ("DOCKER_TLS", "1")],
        &[("DOCKER_CONFIG", &other)],
        &[("DOCKER_CONFIG", "")],
    ];
    for case in cases {
        let format = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"];
        let theirs = run(&format, case);
        let ours = home.settings(&Selection::default(), case).unwrap().host.to_string();
        assert_eq!(ours, theirs, "{case:?}");
    }
}

#[test]
fn the_config_file() {
    let home = Home::new();
    home.write(
        ".docker/config.json",
        r#"{"detachKeys":"ctrl-x","HttpHeaders":{"X-A":"hunter2","User-Agent":"x"},"auths":null,"psFormat":"x",
           "auths":{"r.example":{"auth":"aHVudGVyMg=="}},"credsStore":"pass","credHelpers":{"ghcr.io":"x"},"proxies":{}}"#
            .replace(r#""auths":null,"#, "")
            .as_str(),
    );
    let settings = home.settings(&Selection::default(), &[]).unwrap();
    assert_eq!(settings.detach_keys.as_deref(), Some("ctrl-x"));
    let headers: Vec<_> =
        settings.http_headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("X-A", "hunter2")]);
    assert_eq!(settings.config.creds_store.as_deref(), Some("pass"));
    assert_eq!(settings.config.cred_helpers["ghcr.io"], "x");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");

    home.write(
        ".docker/config.json",
        r#"{"auths":null,"credHelpers":null,"HttpHeaders":null,"detachKeys":""}"#,
    );
    let settings = home.settings(&Selection::default(), &[]).unwrap();
    assert_eq!((settings.config.auths.len(), settings.detach_keys), (0, None));
    home.write(".docker/config.json", " \n");
    assert_eq!(home.settings(&Selection::default(), &[]).unwrap().config, ConfigFile::default());
}

#[test]
fn config_files_that_are_none() {
    let home = Home::new();
    let wrong = |line, column| {
        format!(
            "error: `HOME/.docker/config.json` is not what Docker keeps there, at line {line}, column {column}"
        )
    };
    home.write(".docker/config.json", r#"{"auths":"hunter2"}"#);
    home.check(&[], &wrong(1, 18));
    home.write(".docker/config.json", "{");
    home.check(&[("DOCKER_HOST", "unix:///x")], &wrong(1, 1));
    for header in
        [r#""Host":"x""#, r#""X A":"x""#, r#""X":"a\r\nb""#, r#""content-length":"5""#, r#""":"x""#]
    {
        home.write(".docker/config.json", &format!(r#"{{"HttpHeaders":{{{header}}}}}"#));
        let error = home.settings(&Selection::default(), &[]).unwrap_err();
        assert!(matches!(error, SettingsError::Header { .. }), "{error}");
    }
    home.write(".docker/config.json", &" ".repeat(5 << 20));
    home.check(&[], "error: cannot read `HOME/.docker/config.json`");
    fs::remove_file(home.path(".docker/config.json")).unwrap();
    fs::create_dir(home.path(".docker/config.json")).unwrap();
    home.check(&[], "error: cannot read `HOME/.docker/config.json`");
}

#[test]
fn sockets_that_nobody_told_us_of() {
    let home = Home::new();
    if is_socket(Path::new(DEFAULT_SOCKET)) || is_socket(Path::new("/run/podman/podman.sock")) {
        testkit::skip!("an engine of the whole machine is there");
    }
    let runtime = ("XDG_RUNTIME_DIR", &*home.path("run"));
    home.check(&[runtime], "unix:///var/run/docker.sock (the default)");
    home.write("run/docker.sock", "no socket");
    fs::create_dir(home.path("run/podman")).unwrap();
    let _podman = UnixListener::bind(home.path("run/podman/podman.sock")).unwrap();
    home.check(&[runtime], "unix://HOME/run/podman/podman.sock (the default)");
    fs::remove_file(home.path("run/docker.sock")).unwrap();
    let _rootless = UnixListener::bind(home.path("run/docker.sock")).unwrap();
    home.check(&[runtime], "unix://HOME/run/docker.sock (the default)");
    home.check(&[runtime, ("DOCKER_HOST", "unix:///x")], "unix:///x (`DOCKER_HOST`)");
}

#[test]
fn the_first_socket_of_those_that_are_there() {
    let sockets = ["/a", "/b", "/c"].map(PathBuf::from);
    let first = |there: &[&str]| {
        first_socket(&sockets, |path| there.iter().any(|name| path == Path::new(name)))
    };
    assert_eq!(first(&[]), Path::new("/a"));
    assert_eq!(first(&["/a", "/b"]), Path::new("/a"));
    assert_eq!(first(&["/c", "/b"]), Path::new("/b"));
}
