use std::os::unix::fs::PermissionsExt;

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDFUhKfP2bDaY1447T7jB3PnUIOTrNc8ZYXuP7yo6pnX9KWGQQRBGNUcLKKpiVFIoiF0rtb\
    z+4GwrC9jeCBASt58DORF19kqlVAhDXAwP+aEwq+9iES/uPUZcqDzzEzZ4X3w4lvtIp3cEOHuRwpzZ/rtOPOWB/7TEXprCrBfZnA\
    tw==";

fn read(text: &str, host: &str, port: u16) -> (KnownHosts, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    fs::write(&file, text).unwrap();
    (KnownHosts::read(&[folder.path().join("none"), file], host, port), folder)
}

/// What `text` says of key A of a host: `known`, `unknown`, `changed N` or `revoked N`, with the line.
#[track_caller]
fn check(text: &str, host: &str, port: u16, expected: &str) {
    let text = text.replace("KEY_A", A).replace("KEY_B", B);
    let (known, _folder) = read(&text, host, port);
    let found = match known.verdict(&PublicKey::from_openssh(A).unwrap()) {
        Verdict::Known => "known".into(),
        Verdict::Unknown => "unknown".into(),
        Verdict::Changed(_, line) => format!("changed {line}"),
        Verdict::Revoked(_, line) => format!("revoked {line}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn names() {
    check("web KEY_A", "web", 22, "known");
    check("web KEY_A", "WEB", 22, "known");
    check("other KEY_A", "web", 22, "unknown");
    check("a,web,b KEY_A comment", "web", 22, "known");
    check("web KEY_B", "web", 22, "changed 1");
    check("# web KEY_B\n\nweb KEY_B\nweb KEY_A", "web", 22, "known");
    check("", "web", 22, "unknown");
    check("garbage\nweb\nweb ssh-ed25519 x\n\u{fffd}\nweb KEY_A", "web", 22, "known");
}

#[test]
fn ports() {
    check("[web]:2222 KEY_A", "web", 2222, "known");
    check("[web]:2222 KEY_A", "web", 22, "unknown");
    check("[web]:2222 KEY_B", "web", 2222, "changed 1");
    // As ssh has it: the key of the default port may be trusted, and another one there says nothing of this one.
    check("web KEY_A", "web", 2222, "known");
    check("web KEY_B", "web", 2222, "unknown");
    check("::1 KEY_A", "::1", 22, "known");
    check("[::1]:2222 KEY_A", "::1", 2222, "known");
}

#[test]
fn patterns() {
    check("*.example.org KEY_A", "a.example.org", 22, "known");
    check("*.example.org KEY_A", "example.org", 22, "unknown");
    check("web? KEY_A", "web1", 22, "known");
    check("*.example.org,!b.example.org KEY_A", "b.example.org", 22, "unknown");
    check("!b.example.org KEY_A", "a.example.org", 22, "unknown");
    check("* KEY_A", "anything", 2222, "known");
}

#[test]
fn hashed_names() {
    // By `ssh-keygen -H`, OpenSSH 9.2, of `web` and `[web]:2222`.
    for (host, port) in [("web", 22), ("web", 2222)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        fs::write(&file, format!("{} {A}\n", name(host, port))).unwrap();
        let mut keygen = std::process::Command::new("ssh-keygen");
        match keygen.arg("-q").arg("-H").arg("-f").arg(&file).output() {
            Err(_) => testkit::skip!("ssh-keygen is not installed"),
            Ok(output) => assert!(output.status.success()),
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|"), "{text}");
        check(&text, host, port, "known");
        check(&text.replace(A, B), host, port, "changed 1");
        check(&text, "other", port, "unknown");
    }
}

#[test]
fn markers() {
    check("@revoked web KEY_A", "web", 22, "revoked 1");
    check("web KEY_A\n@revoked * KEY_A", "web", 22, "revoked 2");
    check("@revoked web KEY_B", "web", 22, "unknown");
    check("@cert-authority web KEY_A", "web", 22, "unknown");
    check("@cert-authority * KEY_B\nweb KEY_A", "web", 22, "known");
    check("@moon web KEY_A", "web", 22, "unknown");
}

#[test]
fn known_kinds_come_first() {
    let all = [Algorithm::Ed25519, Algorithm::Rsa { hash: Some(HashAlg::Sha512) }];
    let (none, _folder) = read("", "web", 22);
    assert_eq!(none.prefer(&all), all);
    let (known, _folder) = read(&format!("web {RSA}"), "web", 22);
    assert_eq!(known.prefer(&all), [all[1].clone(), all[0].clone()]);
    let (revoked, _folder) = read(&format!("@revoked web {RSA}"), "web", 22);
    assert_eq!(revoked.prefer(&all), all);
}

#[test]
fn wildcards_take_bounded_time() {
    let pattern = "*a".repeat(500) + "b";
    testkit::within_deadline("a match", move || assert!(!wildcard(&pattern, &"a".repeat(10_000))));
}

#[test]
fn a_new_line_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/known_hosts");
    let key = PublicKey::from_openssh(&format!("{A} comment")).unwrap();
    remember(&file, "Web", 22, &key).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("web {A}\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(&file, "x y z").unwrap();
    remember(&file, "web", 2222, &key).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("x y z\n[web]:2222 {A}\n"));
}
