//! Which hosts are found in which files.

use std::fs;

use super::*;

/// The hosts of these files below `.ssh`, the first of which is `config`, each with its file and line.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &str) {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = home.path().join(".ssh").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("HOME", home.path().to_str().unwrap())).unwrap();
    }
    let shown = |host: &Host| {
        let file = host.file.strip_prefix(home.path().join(".ssh")).unwrap();
        format!("{} {}:{}", host.name, file.display(), host.line)
    };
    let found: Vec<String> = hosts_of(home.path()).iter().map(shown).collect();
    assert_eq!(found.join(", "), expected);
}

/// The names in one file.
#[track_caller]
fn check_names(text: &str, expected: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), text).unwrap();
    let names: Vec<String> = hosts_of(home.path()).into_iter().map(|host| host.name).collect();
    assert_eq!(names, expected);
}

#[test]
fn lines() {
    check_names("", &[]);
    check_names("Host web\n  HostName 10.0.0.1\nHost db", &["web", "db"]);
    check_names("\thost\tweb db\r\nHOST=c\nHost = d\nHost=\n", &["web", "db", "c", "d"]);
    check_names("#Host a\n # Host b\nHost c # d\nHostName x\nHosts y\nHost\n", &["c"]);
    check_names("Host * web *.org w?b !no\nHost web again", &["web", "again"]);
    check_names(
        r#"Host "a b" 'c d' e\ f "g\"h" i\j "k"#,
        &["a b", "c d", "e f", "g\"h", r"i\j", "k"],
    );
    check_names("Host a\nMatch host b\n  Host c\nMatch all\n Include config\n", &["a", "c"]);
}

#[test]
fn bytes_that_are_no_text() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), b"Host a\nHost \xff\nHost b\0c\n").unwrap();
    let names: Vec<String> = hosts_of(home.path()).into_iter().map(|host| host.name).collect();
    assert_eq!(names, ["a", "b\0c"]);
}

#[test]
fn files_that_are_included() {
    check(&[], "");
    check(
        &[("config", "Host a\nInclude more\nHost b"), ("more", "\nHost c")],
        "a config:1, c more:2, b config:3",
    );
    let in_order = [
        ("config", "Include conf.d/*.conf conf.d/none"),
        ("conf.d/2.conf", "Host two"),
        ("conf.d/1.conf", "Host one"),
        ("conf.d/.hidden.conf", "Host hidden"),
        ("conf.d/deep/3.conf", "Host three"),
        ("conf.d/other", "Host other"),
    ];
    check(&in_order, "one conf.d/1.conf:1, two conf.d/2.conf:1");
    let whole =
        [("config", "Include ~/.ssh/x\nInclude \"HOME/.ssh/y\""), ("x", "Host x"), ("y", "Host y")];
    check(&whole, "x x:1, y y:1");
    check(&[("config", "Include **/*"), ("a/x", "Host x"), ("a/b/y", "Host y")], "x a/x:1");
    check(&[("config", "Match host z\nInclude x\nHost z"), ("x", "Host x")], "z config:3");
    check(&[("config", "Include [\nInclude conf.d\nHost a"), ("conf.d/x", "")], "a config:3");
}

#[test]
fn what_has_no_end() {
    check(&[("config", "Include config config\nHost a")], "a config:2");
    let many = "Host a b c\n".repeat(200_000);
    check(&[("config", &many)], "a config:1, b config:1, c config:1");
    let hosts: String = (0..MAX_HOSTS + 5).map(|n| format!("Host h{n}\n")).collect();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    let config = home.path().join(".ssh/config");
    fs::write(&config, hosts).unwrap();
    assert_eq!(hosts_of(home.path()).len(), MAX_HOSTS);
}

#[test]
fn what_gives_nothing() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join(".ssh/config");
    fs::create_dir_all(&config).unwrap();
    assert_eq!(hosts_of(home.path()), []);
    fs::remove_dir(&config).unwrap();
    // Whoever opens it waits for who writes.
    rustix::fs::mkfifoat(rustix::fs::CWD, &config, rustix::fs::Mode::RUSR).unwrap();
    let found = testkit::within_deadline("a fifo", move || hosts_of(home.path()));
    assert_eq!(found, []);
}
