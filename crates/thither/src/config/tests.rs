//! What a configuration says, and what its names stand for.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "/c.toml".into())
}

fn shown(error: &ConfigError) -> String {
    format!("{error}\n  hint: {}", error.hint().unwrap_or("none"))
}

/// The places of each text, or what is wrong with it, without what all errors begin with.
#[track_caller]
fn check<T: AsRef<str>>(texts: &[T], expected: Expect) {
    let said = texts.iter().map(|text| match parse(text.as_ref()) {
        Err(error) => shown(&error).replace("bad configuration `/c.toml`, ", "") + "\n",
        Ok(config) => config.places.iter().map(place).collect(),
    });
    expected.assert_eq(&said.collect::<String>());
}

/// A place in a line.
fn place(place: &NamedPlace) -> String {
    let NamedPlace { name, address, presets, line } = place;
    let presets = presets.iter().map(|preset| format!(" {preset}"));
    format!("{name} of line {line}: {address}{}\n", presets.collect::<String>())
}

/// The same for places `x` of these lines.
#[track_caller]
fn check_place(places: &[&str], expected: Expect) {
    let texts: Vec<String> = places.iter().map(|lines| format!("[place.x]\n{lines}")).collect();
    check(&texts, expected);
}

/// What addresses stand for.
#[track_caller]
fn check_resolved(addresses: &[&str], expected: Expect) {
    let config = parse(PLACES).expect("it is good");
    let said = addresses.iter().map(|text| {
        let address = Address::parse(text).expect("it is an address");
        let to = match config.resolve(&address) {
            Ok(resolved) => resolved.to_string(),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        };
        format!("{text} -> {to}\n")
    });
    expected.assert_eq(&said.collect::<String>());
}

const PLACES: &str = r#"
    place.web = { address = "ssh:bastion|docker:web", user = "deploy", dir = "/srv", env = { A = "1" } }
    place.box = { address = "chroot:/r?net=none&bind=/a&user=own", user = "preset", dir = "/d" }
    place.inner = { address = "box|chroot:/x?read-only", user = "me" }
    place.again = { address = "box?overlay", user = "again", env = { B = "2" } }
    place.db = { address = "docker:db", detach-keys = "ctrl-a" }
"#;

#[test]
fn places() {
    check(
        &[
            "",
            "# nothing\n[place]\n",
            "[place.web]\naddress = \"ssh:b,docker:web\"\nuser = \"u\"\ndir = \"/a b\"\nenv = { A = \"1=2\", B = \"\" }\ndetach-keys = \"ctrl-p,ctrl-q\"\n[place.\"a-1._b\"]\naddress = 'web|chroot:/x'\n",
        ],
        expect![[r#"
            a-1._b of line 8: web|chroot:/x
            web of line 2: ssh:b|docker:web detach-keys=ctrl-p%2Cctrl-q dir=/a%20b env=A=1=2 env=B= user=u
        "#]],
    );
}

#[test]
fn what_is_no_toml() {
    check_place(
        &[
            "address = docker:SECRET",
            "address = 'a:SECRET'\naddress = 'b:SECRET'",
            "user = \"SECRET\naddress = 'local:'",
            "user = \"SECRET\\q\"",
            "SECRET",
            "[place.y",
        ],
        expect![[r#"
            line 2: it is no TOML: string values must be quoted, expected literal string
              hint: write lines as `[place.web]` and `address = "docker:web"`
            line 3: it is no TOML: duplicate key
              hint: write lines as `[place.web]` and `address = "docker:web"`
            line 2: it is no TOML: invalid basic string, expected `"`
              hint: write lines as `[place.web]` and `address = "docker:web"`
            line 2: it is no TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
              hint: write lines as `[place.web]` and `address = "docker:web"`
            line 2: it is no TOML: key with no value, expected `=`
              hint: write lines as `[place.web]` and `address = "docker:web"`
            line 2: it is no TOML: unclosed table, expected `]`
              hint: write lines as `[place.web]` and `address = "docker:web"`
        "#]],
    );
    check(
        &[format!("x = {}", "[".repeat(100_000))],
        expect![[r#"
        line 1: it is no TOML: cannot recurse further; max recursion depth met
          hint: write lines as `[place.web]` and `address = "docker:web"`
    "#]],
    );
}

#[test]
fn what_is_about_no_place() {
    check(
        &[
            "plcae = 1",
            "password = 'SECRET'",
            "place = 'SECRET'",
            "place.x = 'SECRET'",
            "[[place]]",
        ],
        expect![[r#"
            line 1: there is no setting `plcae`
              hint: a place begins with a line as `[place.web]`
            line 1: a password does not belong in this file
              hint: leave it out: the file is kept and copied as any other
            line 1: `place` is no table
              hint: begin a place with a line as `[place.web]`
            line 1: the place `x` is no table
              hint: begin a place with a line as `[place.web]`
            line 1: `place` is no table
              hint: begin a place with a line as `[place.web]`
        "#]],
    );
}

#[test]
fn names() {
    check(
        &[
            "[place.docker]",
            "[place.'a b']",
            "[place.'local:']",
            "[place.'a?user=x']",
            "[place.'-x']",
            "[place.'']",
            "[place.a.b]\naddress = 'local:'",
        ],
        expect![[r#"
            line 1: the place `docker` has the name of a scheme
              hint: choose another name
            line 1: `a b` is no name of a place
              hint: letters and digits make a name, and after the first of them any of `. _ -`
            line 1: `local:` is no name of a place
              hint: letters and digits make a name, and after the first of them any of `. _ -`
            line 1: `a?user=x` is no name of a place
              hint: letters and digits make a name, and after the first of them any of `. _ -`
            line 1: `-x` is no name of a place
              hint: letters and digits make a name, and after the first of them any of `. _ -`
            line 1: `` is no name of a place
              hint: letters and digits make a name, and after the first of them any of `. _ -`
            line 1: the place `a` has no setting `b`
              hint: put a name with a dot in quotes, as in `[place."a.b"]`
        "#]],
    );
}

#[test]
fn settings() {
    check_place(
        &[
            "",
            "adress = 'local:'",
            "shell = 'sh'",
            "address = 1",
            "address = ''",
            "address = 'docker:'",
            "address = 'me@host'",
            "address = 'local:'\nuser = 0",
            "address = 'local:'\ndir = ''",
            "address = 'local:'\ndir = \"/a\\u0000\"",
            "address = 'docker:x'\ndetach-keys = 'ctrl-1'",
        ],
        expect![[r#"
            line 1: the place `x` has no address
              hint: write `address = "docker:web"`
            line 2: the place `x` has no setting `adress`
              hint: did you mean `address`?
            line 2: the place `x` has no setting `shell`
              hint: it can have `address`, `user`, `dir`, `env`, `detach-keys`; options stand in its address
            line 2: `address` of the place `x` is no text in quotes
              hint: write it as in `address = "docker:web"`
            line 2: `address` of the place `x` is empty
              hint: write it as in `address = "docker:web"`
            line 2: `address` of the place `x` is a bad address: the name of a container is missing (at byte 7)
              hint: write it as in `address = "docker:web"`
            line 2: `address` of the place `x` is a bad address: the name `me@host` is neither `scheme:target` nor a word (at byte 0)
              hint: a host over ssh is written `ssh:me@host`
            line 3: `user` of the place `x` is no text in quotes
              hint: write it as in `user = "USER"`
            line 3: `dir` of the place `x` is empty
              hint: write it as in `dir = "DIR"`
            line 3: `dir` of the place `x` has a NUL in it
              hint: write it as in `dir = "DIR"`
            line 3: `detach-keys` of the place `x` is wrong: `ctrl-1` are no detach keys: `ctrl-1` is no key
              hint: write it as in `detach-keys = "ctrl-p,ctrl-q"`
        "#]],
    );
}

#[test]
fn variables() {
    check_place(
        &[
            "address = 'local:'\nenv = 'A=SECRET'",
            "address = 'local:'\nenv = { A = 1 }",
            "address = 'local:'\nenv = { 'A=B' = 'SECRET' }",
            "address = 'local:'\nenv = { '' = 'SECRET' }",
            "address = 'local:'\n[place.x.env]\nA = \"SECRET\\u0000\"",
        ],
        expect![[r#"
            line 3: `env` of the place `x` is no table
              hint: write it as in `env = { NAME = "VALUE" }`
            line 3: `env` of the place `x` has a variable `A` whose value is no text in quotes
              hint: write it as in `env = { NAME = "VALUE" }`
            line 3: `env` of the place `x` has a variable `A=B` that cannot be called so
              hint: write it as in `env = { NAME = "VALUE" }`
            line 3: `env` of the place `x` has a variable `` that cannot be called so
              hint: write it as in `env = { NAME = "VALUE" }`
            line 4: `env` of the place `x` has a variable `A` with a NUL in its value
              hint: write it as in `env = { NAME = "VALUE" }`
        "#]],
    );
}

#[test]
fn passwords() {
    check_place(
        &[
            "password = 'SECRET'",
            "Passphrase = 'SECRET'",
            "address = 'ssh:me:SECRET@host'",
            "address = 'ssh:host?password=SECRET'",
            "address = 'ssh:host?passwd=SECRET|local:'",
        ],
        expect![[r#"
            line 2: a password does not belong in the place `x`
              hint: leave it out: the file is kept and copied as any other
            line 2: a password does not belong in the place `x`
              hint: leave it out: the file is kept and copied as any other
            line 2: `address` of the place `x` is a bad address: a password does not belong in an address (at byte 7)
              hint: leave it out, as in `ssh:user@host`: addresses are shown, logged and kept
            line 2: a password does not belong in the address of the place `x`
              hint: leave it out: the file is kept and copied as any other
            line 2: a password does not belong in the address of the place `x`
              hint: leave it out: the file is kept and copied as any other
        "#]],
    );
}

#[test]
fn options() {
    check_place(
        &[
            "address = 'docker:x?nonsense=SECRET'",
            "address = 'chroot:/?overly'",
            "address = 'local:?user=a&user=b'",
            "address = 'chroot:/?net'",
            "address = 'local:'\ndetach-keys = 'ctrl-a'",
            "# who makes the place knows\naddress = 'mine:/?fast'",
        ],
        expect![[r#"
            line 2: the place `x`: `docker:x` has no option `nonsense`
              hint: known options: `privileged`, `engine`, `context`, `plain-tcp`, `detach-keys`, `user`, `dir`, `env`, `clear-env`
            line 2: the place `x`: `chroot:/` has no option `overly`
              hint: did you mean `overlay`?
            line 2: the place `x`: `local:` has the option `user` twice
              hint: leave one of them out
            line 2: the place `x`: bad option `net` of `chroot:/`: it needs a value
              hint: write `net=host|none`
            line 2: the place `x`: `local:` has no option `detach-keys`
              hint: known options: `user`, `dir`, `env`, `clear-env`
            x of line 3: mine:/?fast
        "#]],
    );
}

#[test]
fn names_that_lead_nowhere() {
    check_place(
        &["address = 'y'", "address = 'x'", "address = 'ssh:host|x'"],
        expect![[r#"
        line 2: the place `x` leads to the place `y`, which is not there
          hint: name an address, or begin that place with `[place.y]`
        line 2: the place `x` leads in a circle: `x` -> `x`
          hint: write the address of a place for one of these names
        line 2: the place `x`: the named place `x` is not the first hop
          hint: write its address there
    "#]],
    );
    check(
        &[
            "place.web.address = 'wbe'\nplace.web1.address = 'local:'",
            "[place]\na.address = 'b'\nb.address = 'c|local:'\nc.address = 'b?user=me'",
            &chain(16),
        ],
        expect![[r#"
            line 1: the place `web` leads to the place `wbe`, which is not there
              hint: did you mean `web1`?
            line 2: the place `a` leads in a circle: `b` -> `c` -> `b`
              hint: write the address of a place for one of these names
            line 1: the place `n0` leads through more than 16 names
              hint: write the address of a place for one of these names
        "#]],
    );
    assert_eq!(parse(&chain(15)).unwrap().places.len(), 16);
}

/// So many names, one leading to the next, and a place.
fn chain(length: usize) -> String {
    let links = (0..length).map(|n| format!("place.n{n}.address = 'n{}'\n", n + 1));
    links.chain([format!("place.n{length}.address = 'local:'\n")]).collect()
}

#[test]
fn what_names_stand_for() {
    check_resolved(
        &["web", "web?user=root&env=A=2", "web|chroot:/y?user=me", "db", "db?detach-keys=ctrl-b"],
        expect![[r#"
            web -> ssh:bastion|docker:web?dir=/srv&env=A=1&user=deploy
            web?user=root&env=A=2 -> ssh:bastion|docker:web?dir=/srv&env=A=1&user=root&env=A=2
            web|chroot:/y?user=me -> ssh:bastion|docker:web?dir=/srv&env=A=1&user=deploy|chroot:/y?user=me
            db -> docker:db?detach-keys=ctrl-a
            db?detach-keys=ctrl-b -> docker:db?detach-keys=ctrl-b
        "#]],
    );
}

#[test]
fn what_counts_more() {
    check_resolved(
        &[
            "box",
            "box?net=host&bind=/b",
            "box?user=a&user=b",
            "inner",
            "inner?user=you",
            "again?net=host",
        ],
        expect![[r#"
            box -> chroot:/r?dir=/d&net=none&bind=/a&user=own
            box?net=host&bind=/b -> chroot:/r?dir=/d&bind=/a&user=own&net=host&bind=/b
            box?user=a&user=b -> chroot:/r?dir=/d&net=none&bind=/a&user=a&user=b
            inner -> chroot:/r?dir=/d&net=none&bind=/a&user=own|chroot:/x?user=me&read-only
            inner?user=you -> chroot:/r?dir=/d&net=none&bind=/a&user=own|chroot:/x?read-only&user=you
            again?net=host -> chroot:/r?dir=/d&bind=/a&env=B=2&user=again&overlay&net=host
        "#]],
    );
}

#[test]
fn what_is_not_named() {
    check_resolved(
        &["wbe", "web|db", "docker:web|local:"],
        expect![[r#"
        wbe -> no place is named `wbe`; did you mean `web`?
        web|db -> the named place `db` is not the first hop; write its address there
        docker:web|local: -> docker:web|local:
    "#]],
    );
    assert!(matches!(Address::parse("local:").unwrap().resolved().unwrap(), Cow::Borrowed(_)));
}

proptest! {
    /// Nothing panics, and no value is repeated, whatever part of a file is lost or doubled.
    #[test]
    fn mangled(cut in 0..200_usize, length in 0..40_usize, twice in any::<bool>()) {
        let text = "[place.x]\naddress = 'ssh:me@host?a=b'\nuser = \"SECRET\"\ndir = '''SECRET'''\n\
                    env = { A = \"SECRET\", B = 'SECRET' }\n[place.y]\naddress = \"x|docker:y\"\n";
        let (from, to) = (cut.min(text.len()), (cut + length).min(text.len()));
        let again = if twice { &text[from..] } else { "" };
        let mangled = format!("{}{}{again}", &text[..from], &text[to..]);
        // What has become a part of an address is shown.
        let in_address = |line: &str| line.contains("address") && line.contains("SECRET");
        prop_assume!(!mangled.lines().any(in_address));
        if let Err(error) = parse(&mangled) {
            prop_assert!(!shown(&error).contains("SECRET"), "{}\n{mangled}", shown(&error));
        }
    }

    #[test]
    fn any_text(text in r#"(\[?place\.|[a-z]{1,3}|[\[\]={}'",|?:\n]|\PC){0,30}"#) {
        let _ = parse(&text);
    }
}
