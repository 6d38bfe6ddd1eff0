//! Places with names: used, listed and completed.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Test, said};
use expect_test::{Expect, expect};
use testkit::{Session, find_program, skip};

const PLACES: &str = r#"
[place.here]
address = "local:"
user = "USER"
dir = "/usr"
env = { A = "1", B = "one" }

[place.again]
address = "here?env=B=two"
dir = "/usr/bin"

[place.plain]
address = "local:"

[place.web]
address = "ssh:bastion|docker:web?env=TOKEN=SECRET"
"#;

const SSH_CONFIG: &str = "Host db *.org\n  User me\nInclude more\nHost web-1 $(id)\n";

/// With these places and hosts.
fn configured(places: &str) -> Test {
    let test = Test::new();
    let folder = test.dir().join(".config/thither");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(test.dir().join(".ssh")).unwrap();
    let id = rustix::process::geteuid().as_raw().to_string();
    test.file(".config/thither/thither.toml", &places.replace("USER", &id));
    // Whatever the umask of who tests is.
    let file = folder.join("thither.toml");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    test.file(".ssh/config", SSH_CONFIG);
    test.file(".ssh/more", "Host included\n");
    test
}

/// What the tool says with [`PLACES`].
#[track_caller]
fn check(lines: &[&str], expected: Expect) {
    let test = configured(PLACES);
    test.file("script", "echo $A $B; pwd");
    let script = test.dir().join("script");
    let lines: Vec<String> =
        lines.iter().map(|line| line.replace("SCRIPT", script.to_str().unwrap())).collect();
    test.says(&lines, expected);
}

#[test]
fn commands() {
    check(
        &[
            "run here sh SCRIPT",
            "run again sh SCRIPT",
            "run here?env=B=2&dir=/ sh SCRIPT",
            "run --dir /etc --env A=0 again sh SCRIPT",
            "shell here sh SCRIPT",
            "run -- here sh SCRIPT",
        ],
        expect![[r#"
            $ thither run here sh [DIR]/script
            | 1 one
            | /usr
            $ thither run again sh [DIR]/script
            | 1 two
            | /usr/bin
            $ thither run here?env=B=2&dir=/ sh [DIR]/script
            | 1 2
            | /
            $ thither run --dir /etc --env A=0 again sh [DIR]/script
            | 0 two
            | /etc
            $ thither shell here sh [DIR]/script
            | 1 one
            | /usr
            $ thither run -- here sh [DIR]/script
            | 1 one
            | /usr
        "#]],
    );
}

#[test]
fn files() {
    let test = configured(PLACES);
    test.file("new", "text\n");
    let dir = test.dir().to_str().unwrap().to_owned();
    test.says(
        &[
            &format!("cp {dir}/new here::{dir}/copy"),
            &format!("cp again::{dir}/copy -"),
            &format!("cp here?dir={dir}::copy -"),
            &format!("cp -r plain::{dir} local:::{dir}/into"),
            "cp her::/x .",
        ],
        expect![[r#"
            $ thither cp [DIR]/new here::[DIR]/copy
            $ thither cp again::[DIR]/copy -
            | text
            $ thither cp here?dir=[DIR]::copy -
            | text
            $ thither cp -r plain::[DIR] local:::[DIR]/into
            error: cannot copy `plain::[DIR]` to `local:::[DIR]/into`: onto or into itself
            exit 125
            $ thither cp her::/x .
            error: no place is named `her`
            hint: did you mean `here`?
            exit 125
        "#]],
    );
}

#[test]
fn names_that_cannot_be_followed() {
    check(
        &[
            "run her true",
            "run local:|here true",
            "run here?net=none true",
            "attach here",
            "list here",
        ],
        expect![[r#"
            $ thither run her true
            error: no place is named `her`
            hint: did you mean `here`?
            exit 125
            $ thither run local:|here true
            error: the named place `here` is not the first hop
            hint: write its address there
            exit 125
            $ thither run here?net=none true
            error: `local:` has no option `net`
            hint: known options: `user`, `dir`, `env`, `clear-env`
            exit 125
            $ thither attach here
            error: `here` has no main process to attach to
            hint: attach to a container, as in `docker:web`; `thither shell` starts a command
            exit 125
            $ thither list here
            error: cannot list `here`
            hint: write `thither list`, `thither list ssh:` or `thither list docker:`
            exit 125
        "#]],
    );
}

#[test]
fn configurations_that_are_wrong() {
    let wrong =
        |places: &str, line: &str, expected: Expect| configured(places).says(&[line], expected);
    wrong(
        "[place.a]\naddress = 'b'\n[place.b]\naddress = 'a'\n",
        "run a true",
        expect![[r#"
        $ thither run a true
        error: bad configuration `[DIR]/.config/thither/thither.toml`, line 2: the place `a` leads in a circle: `a` -> `b` -> `a`
        hint: write the address of a place for one of these names
        exit 125
    "#]],
    );
    wrong(
        "[place.a]\naddress = 'local:'\npassword = 'SECRET'\n",
        "list",
        expect![[r#"
        $ thither list
        error: bad configuration `[DIR]/.config/thither/thither.toml`, line 3: a password does not belong in the place `a`
        hint: leave it out: the file is kept and copied as any other
        exit 125
    "#]],
    );
    wrong(
        "[place.a]\naddress = 'local:'\nuser = SECRET\n",
        "shell other",
        expect![[r#"
        $ thither shell other
        error: bad configuration `[DIR]/.config/thither/thither.toml`, line 3: it is no TOML: string values must be quoted, expected literal string
        hint: write lines as `[place.web]` and `address = "docker:web"`
        exit 125
    "#]],
    );
    // Nobody has asked for a name.
    wrong(
        "[place",
        "run local: true",
        expect![[r#"
        $ thither run local: true
    "#]],
    );
    wrong(
        "[place",
        "list ssh:",
        expect![[r#"
        $ thither list ssh:
        | PLACE            ADDRESS          FILE
        | ssh:db           ssh:db           [DIR]/.ssh/config:1
        | ssh:included     ssh:included     [DIR]/.ssh/more:1
        | ssh:web-1        ssh:web-1        [DIR]/.ssh/config:4
        | ssh:%24%28id%29  ssh:%24%28id%29  [DIR]/.ssh/config:4
    "#]],
    );
    let test = configured(PLACES);
    let file = test.dir().join(".config/thither/thither.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    test.says(
        &["run here true"],
        expect![[r#"
        $ thither run here true
        error: bad configuration `[DIR]/.config/thither/thither.toml`: others can write it
        hint: `chmod go-w [DIR]/.config/thither/thither.toml`
        exit 125
    "#]],
    );
}

#[test]
fn where_the_configuration_is() {
    let test = configured(PLACES);
    let says = |name: &str, value: &str| {
        let mut command = test.thither(["run", "here", "pwd"]);
        said(command.env(name, value)).lines().next().unwrap_or_default().to_owned()
    };
    let folder = test.dir().join("xdg");
    fs::create_dir_all(folder.join("thither")).unwrap();
    assert_eq!(
        says("XDG_CONFIG_HOME", folder.to_str().unwrap()),
        "error: no place is named `here`"
    );
    test.file("xdg/thither/thither.toml", "[place.here]\naddress = 'local:?dir=/'\n");
    let file = folder.join("thither/thither.toml");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(says("XDG_CONFIG_HOME", folder.to_str().unwrap()), "| /");
    // One that is relative does not count.
    assert_eq!(says("XDG_CONFIG_HOME", "xdg"), "| /usr");
    assert_eq!(says("XDG_CONFIG_HOME", ""), "| /usr");
    assert_eq!(says("HOME", ""), "error: no place is named `here`");
}

#[test]
fn lists() {
    check(
        &["list", "list --json", "list ssh:", "list --names", "list --names ssh:", "list ''"],
        expect![[r#"
            $ thither list
            | PLACE            ADDRESS                 FILE
            | again            here                    [DIR]/.config/thither/thither.toml:9
            | here             local:                  [DIR]/.config/thither/thither.toml:3
            | plain            local:                  [DIR]/.config/thither/thither.toml:13
            | web              ssh:bastion|docker:web  [DIR]/.config/thither/thither.toml:16
            | ssh:db           ssh:db                  [DIR]/.ssh/config:1
            | ssh:included     ssh:included            [DIR]/.ssh/more:1
            | ssh:web-1        ssh:web-1               [DIR]/.ssh/config:4
            | ssh:%24%28id%29  ssh:%24%28id%29         [DIR]/.ssh/config:4
            $ thither list --json
            | [
            |   {"place": "again", "address": "here", "file": "[DIR]/.config/thither/thither.toml:9"},
            |   {"place": "here", "address": "local:", "file": "[DIR]/.config/thither/thither.toml:3"},
            |   {"place": "plain", "address": "local:", "file": "[DIR]/.config/thither/thither.toml:13"},
            |   {"place": "web", "address": "ssh:bastion|docker:web", "file": "[DIR]/.config/thither/thither.toml:16"},
            |   {"place": "ssh:db", "address": "ssh:db", "file": "[DIR]/.ssh/config:1"},
            |   {"place": "ssh:included", "address": "ssh:included", "file": "[DIR]/.ssh/more:1"},
            |   {"place": "ssh:web-1", "address": "ssh:web-1", "file": "[DIR]/.ssh/config:4"},
            |   {"place": "ssh:%24%28id%29", "address": "ssh:%24%28id%29", "file": "[DIR]/.ssh/config:4"}
            | ]
            $ thither list ssh:
            | PLACE            ADDRESS          FILE
            | ssh:db           ssh:db           [DIR]/.ssh/config:1
            | ssh:included     ssh:included     [DIR]/.ssh/more:1
            | ssh:web-1        ssh:web-1        [DIR]/.ssh/config:4
            | ssh:%24%28id%29  ssh:%24%28id%29  [DIR]/.ssh/config:4
            $ thither list --names
            | again
            | here
            | plain
            | web
            $ thither list --names ssh:
            | db
            | included
            | web-1
            $ thither list ''
            error: cannot list ``
            hint: write `thither list`, `thither list ssh:` or `thither list docker:`
            exit 125
        "#]],
    );
    Test::new().says(
        &["list", "list --json", "list --json ssh:", "list --names"],
        expect![[r#"
        $ thither list
        | PLACE  ADDRESS  FILE
        $ thither list --json
        | []
        $ thither list --json ssh:
        | []
        $ thither list --names
    "#]],
    );
    // Who presses the tab key is told nothing, and has the hosts nevertheless.
    configured("[place").says(
        &["list --names", "list --names ssh:"],
        expect![[r#"
        $ thither list --names
        $ thither list --names ssh:
        | db
        | included
        | web-1
    "#]],
    );
}

/// What a shell's script says that has `$T`, the program, on its PATH, and completes each line of words, the last of which is
/// unfinished.
#[track_caller]
fn check_completed(shell: &str, script: &str, expected: Expect) {
    if let Err(reason) = find_program(shell) {
        skip!("{reason}");
    }
    let test = configured(PLACES);
    let lines = [
        "thither run he",
        "thither shell web",
        "thither run ssh:",
        "thither python ssh:we",
        "thither run --dir /x aga",
        "thither attach we",
        "thither list ss",
        "thither shell im",
    ];
    let mut text = String::new();
    for line in lines {
        let mut command = Command::new(shell);
        command.args(["-c", script, shell, line]).env_clear().env("HOME", test.dir());
        command
            .env("T", env!("CARGO_BIN_EXE_thither"))
            .env("PATH", std::env::var_os("PATH").unwrap());
        text += &format!("$ {line}\n{}", said(&mut command));
    }
    expected.assert_eq(&text);
}

#[test]
fn completed_by_bash() {
    let script = "\
        eval \"$($T generate bash)\"; PATH=${T%/*}:$PATH; COMP_LINE=$1; COMP_POINT=${#1}
        read -ra COMP_WORDS <<<\"$1\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _thither_places thither \"${COMP_WORDS[-1]##*:}\" \"${COMP_WORDS[-2]}\" 2>/dev/null
        printf '%s\\n' \"${COMPREPLY[@]}\" | sort";
    check_completed(
        "bash",
        script,
        expect![[r#"
            $ thither run he
            | here
            $ thither shell web
            | web
            $ thither run ssh:
            | db
            | included
            | web-1
            $ thither python ssh:we
            | web-1
            $ thither run --dir /x aga
            | again
            $ thither attach we
            | web
            $ thither list ss
            | ssh:
            $ thither shell im
            | image:
        "#]],
    );
}

/// A second word that could be a place is not offered as one.
#[test]
fn one_place_is_completed() {
    let script = "\
        eval \"$($T generate bash)\"; PATH=${T%/*}:$PATH
        for COMP_LINE in 'thither run here we' 'thither run --dir /x here we' 'thither run -t here loc'; do
            COMP_POINT=${#COMP_LINE}; read -ra COMP_WORDS <<<\"$COMP_LINE\"
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
            _thither_places thither \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\" 2>/dev/null
            echo \"$COMP_LINE: ${COMPREPLY[*]}\"
        done";
    let test = configured(PLACES);
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env_clear().env("HOME", test.dir());
    bash.env("T", env!("CARGO_BIN_EXE_thither")).env("PATH", "/usr/bin:/bin");
    expect![[r#"
        | thither run here we: 
        | thither run --dir /x here we: 
        | thither run -t here loc: 
    "#]]
    .assert_eq(&said(&mut bash));
}

#[test]
fn completed_by_fish() {
    // Its own words follow a tab.
    let script = "\
        set -x PATH (dirname $T) $PATH; $T generate fish | source
        complete -C $argv[2] | string replace -r '\\t.*' '' | sort";
    check_completed(
        "fish",
        script,
        expect![[r#"
        $ thither run he
        | here
        $ thither shell web
        | web
        $ thither run ssh:
        | ssh:db
        | ssh:included
        | ssh:web-1
        $ thither python ssh:we
        | ssh:web-1
        $ thither run --dir /x aga
        | again
        $ thither attach we
        | web
        $ thither list ss
        | ssh:
        $ thither shell im
        | image:
    "#]],
    );
}

/// By the keys that a user presses, as there is no other way to ask it.
#[test]
fn completed_by_zsh() {
    if let Err(reason) = find_program("zsh") {
        skip!("{reason}");
    }
    let test = configured(PLACES);
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-i"]).env_clear().env("HOME", test.dir()).env("TERM", "dumb");
    zsh.env("T", env!("CARGO_BIN_EXE_thither")).env("PATH", "/usr/bin:/bin");
    let mut session = Session::spawn(zsh, (200, 24));
    // What is completed runs nothing but the list.
    session.line(
        "path=(${T:h} $path); autoload -U compinit && compinit -u -D && eval \"$(thither generate zsh)\"; \
         thither() { [[ $1 == list && $2 == --names ]] && command thither $@ || print -r -- \"<$*>\" }; print O''K",
    );
    session.expect("OK");
    for (typed, completed) in [
        ("thither run he\t", "<run here>"),
        ("thither shell --dir /x aga\t", "<shell --dir /x again>"),
        ("thither python ssh:we\t", "<python ssh:web-1>"),
        ("thither attach we\t", "<attach web>"),
        ("thither shell im\t", "<shell image:>"),
        ("thither list ss\t", "<list ssh:>"),
    ] {
        session.line(typed);
        session.expect(completed);
    }
    session.line("exit");
    session.wait();
}
