use expect_test::{Expect, expect};

use super::*;

/// Shows what each text is read as: the canonical text, if it differs, and the hops; or the error and its hint.
#[track_caller]
fn check(texts: &[&str], expected: Expect) {
    show(texts, expected, |text| {
        let address = Address::parse(text)?;
        let canonical = address.to_string();
        let canonical = if canonical == text { String::new() } else { format!("{canonical} ") };
        let shown = |hop: &Hop| match hop.options() {
            [] => format!("{:?}", hop.target()),
            options => format!("{:?} {options:?}", hop.target()),
        };
        Ok(canonical + &address.hops().iter().map(shown).collect::<Vec<_>>().join(" | "))
    });
}

#[track_caller]
fn check_operands(texts: &[&str], expected: Expect) {
    show(texts, expected, |text| {
        let Operand { place, path } = Operand::parse(text)?;
        let place = place.map_or("here".to_owned(), |place| place.to_string());
        Ok(format!("{place} {path:?}"))
    });
}

#[track_caller]
fn show(texts: &[&str], expected: Expect, read: fn(&str) -> Result<String, ParseError>) {
    let mut shown = String::new();
    for text in texts {
        let read = read(text).unwrap_or_else(|error| match error.hint() {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        });
        shown += &format!("{} => {read}\n", text.escape_debug());
    }
    expected.assert_eq(&shown);
}

#[test]
fn each_scheme() {
    check(
        &[
            "local:",
            "chroot:/srv/root",
            "chroot:relative/./root",
            "docker:web",
            "image:debian:12",
            "image:debian:12@sha256:0123",
            "ssh:host",
            "ssh:me@host:2222",
            "ssh:me@corp.example@host",
            "ssh:[::1]",
            "ssh:me@[fe80::1%25eth0]:22",
            "daemon:",
            "daemon:host:10101",
            "daemon:/run/x.sock",
            "smb:host",
            r"\\host",
            r"\\host\pipe\name",
            r"\\host\PIPE\a\b?timeout=3",
            "kube:pod/x?y",
            "web",
            "my-web.1?overlay",
        ],
        expect![[r#"
            local: => Local
            chroot:/srv/root => Chroot("/srv/root")
            chroot:relative/./root => Chroot("relative/./root")
            docker:web => Docker("web")
            image:debian:12 => Image("debian:12")
            image:debian:12@sha256:0123 => Image("debian:12@sha256:0123")
            ssh:host => Ssh(Login { user: None, host: "host", port: None })
            ssh:me@host:2222 => Ssh(Login { user: Some("me"), host: "host", port: Some(2222) })
            ssh:me@corp.example@host => Ssh(Login { user: Some("me@corp.example"), host: "host", port: None })
            ssh:[::1] => Ssh(Login { user: None, host: "::1", port: None })
            ssh:me@[fe80::1%25eth0]:22 => Ssh(Login { user: Some("me"), host: "fe80::1%eth0", port: Some(22) })
            daemon: => Daemon(Default)
            daemon:host:10101 => Daemon(Host { host: "host", port: Some(10101) })
            daemon:/run/x.sock => Daemon(Socket("/run/x.sock"))
            smb:host => Smb(Login { user: None, host: "host", port: None })
            \\\\host => smb:host Smb(Login { user: None, host: "host", port: None })
            \\\\host\\pipe\\name => smb:host?pipe=name Smb(Login { user: None, host: "host", port: None }) [HopOption { key: "pipe", value: Some("name") }]
            \\\\host\\PIPE\\a\\b?timeout=3 => smb:host?pipe=a%5Cb&timeout=3 Smb(Login { user: None, host: "host", port: None }) [HopOption { key: "pipe", value: Some("a\\b") }, HopOption { key: "timeout", value: Some("3") }]
            kube:pod/x?y => Other("kube", "pod/x") [HopOption { key: "y", value: None }]
            web => Named("web")
            my-web.1?overlay => Named("my-web.1") [HopOption { key: "overlay", value: None }]
        "#]],
    );
}

#[test]
fn options() {
    check(
        &[
            "chroot:/srv/root?net=host&overlay",
            "chroot:/?a=&b=x=y&a=%26",
            "chroot:/?bind=/a:/b",
            "chroot:/?",
            "chroot:/?a&&b",
            "chroot:/?=x",
            "chroot:/?Net",
            "chroot:/?a?b",
            "?a",
        ],
        expect![[r#"
            chroot:/srv/root?net=host&overlay => Chroot("/srv/root") [HopOption { key: "net", value: Some("host") }, HopOption { key: "overlay", value: None }]
            chroot:/?a=&b=x=y&a=%26 => Chroot("/") [HopOption { key: "a", value: Some("") }, HopOption { key: "b", value: Some("x=y") }, HopOption { key: "a", value: Some("&") }]
            chroot:/?bind=/a:/b => Chroot("/") [HopOption { key: "bind", value: Some("/a:/b") }]
            chroot:/? => bad address: the option `` is not a lower-case word (at byte 9); options are written `?key=value&key`
            chroot:/?a&&b => bad address: the option `` is not a lower-case word (at byte 11); options are written `?key=value&key`
            chroot:/?=x => bad address: the option `` is not a lower-case word (at byte 9); options are written `?key=value&key`
            chroot:/?Net => bad address: the option `Net` is not a lower-case word (at byte 9); options are written `?key=value&key`
            chroot:/?a?b => bad address: the option `a?b` is not a lower-case word (at byte 9); options are written `?key=value&key`
            ?a => bad address: a place before the `?` is missing (at byte 0)
        "#]],
    );
}

#[test]
fn hops() {
    check(
        &[
            "ssh:bastion|docker:web|chroot:/srv/x",
            "ssh:a,ssh:b,web",
            r"ssh:a|\\host\pipe\x",
            "local:?x|docker:web",
            "ssh:a||ssh:b",
            "ssh:a|",
            ",ssh:a",
            "ssh:a|docker:",
            "chroot:/a[|chroot:/b]",
        ],
        expect![[r#"
            ssh:bastion|docker:web|chroot:/srv/x => Ssh(Login { user: None, host: "bastion", port: None }) | Docker("web") | Chroot("/srv/x")
            ssh:a,ssh:b,web => ssh:a|ssh:b|web Ssh(Login { user: None, host: "a", port: None }) | Ssh(Login { user: None, host: "b", port: None }) | Named("web")
            ssh:a|\\\\host\\pipe\\x => ssh:a|smb:host?pipe=x Ssh(Login { user: None, host: "a", port: None }) | Smb(Login { user: None, host: "host", port: None }) [HopOption { key: "pipe", value: Some("x") }]
            local:?x|docker:web => Local [HopOption { key: "x", value: None }] | Docker("web")
            ssh:a||ssh:b => bad address: a hop is empty (at byte 6); between two hops stands one `|` or `,`; within a name they are `%7C` and `%2C`
            ssh:a| => bad address: a hop is empty (at byte 6); between two hops stands one `|` or `,`; within a name they are `%7C` and `%2C`
            ,ssh:a => bad address: a hop is empty (at byte 0); between two hops stands one `|` or `,`; within a name they are `%7C` and `%2C`
            ssh:a|docker: => bad address: the name of a container is missing (at byte 13)
            chroot:/a[|chroot:/b] => chroot:/a%5B|chroot:/b%5D Chroot("/a[") | Chroot("/b]")
        "#]],
    );
}

#[test]
fn escapes() {
    check(
        &[
            "chroot:/a%20b%7C%2c%3F%23%25%09",
            "chroot:/%3A%3a/x",
            "chroot:/Größe",
            "chroot:/%FF",
            "chroot:/a[1]",
            "chroot:/%2F",
            "docker:%2F%2Fweb",
            "daemon:/%2Fx",
            "chroot:/a b",
            "chroot:/a\tb",
            "chroot:/a#b",
            "chroot:/a%2",
            "chroot:/100%",
            "chroot:/a%zzb",
            "chroot:/a%00b",
            "chroot:/a\0b",
            "ssh:%FF",
        ],
        expect![[r#"
            chroot:/a%20b%7C%2c%3F%23%25%09 => chroot:/a%20b%7C%2C%3F%23%25%09 Chroot("/a b|,?#%\t")
            chroot:/%3A%3a/x => chroot:/:%3A/x Chroot("/::/x")
            chroot:/Größe => Chroot("/Größe")
            chroot:/%FF => Chroot("/\xFF")
            chroot:/a[1] => chroot:/a%5B1%5D Chroot("/a[1]")
            chroot:/%2F => chroot:// Chroot("//")
            docker:%2F%2Fweb => docker:/%2Fweb Docker("//web")
            daemon:/%2Fx => Daemon(Socket("//x"))
            chroot:/a b => bad address: the character ` ` must be percent-encoded (at byte 9); write `%20`
            chroot:/a\tb => bad address: the character `\t` must be percent-encoded (at byte 9); write `%09`
            chroot:/a#b => bad address: the character `#` must be percent-encoded (at byte 9); write `%23`
            chroot:/a%2 => bad address: the escape `%2` is not `%` and two hexadecimal digits (at byte 9); write `%25` for a percent sign
            chroot:/100% => bad address: the escape `%` is not `%` and two hexadecimal digits (at byte 11); write `%25` for a percent sign
            chroot:/a%zzb => bad address: the escape `%zz` is not `%` and two hexadecimal digits (at byte 9); write `%25` for a percent sign
            chroot:/a%00b => bad address: a NUL cannot be part of a name (at byte 9)
            chroot:/a\0b => bad address: a NUL cannot be part of a name (at byte 9)
            ssh:%FF => bad address: the host `%FF` is not a host's name (at byte 4)
        "#]],
    );
    let raw = Address::parse(OsStr::from_bytes(b"chroot:/\xff")).unwrap();
    assert_eq!(raw.to_string(), "chroot:/%FF");
}

#[test]
fn no_addresses() {
    check(
        &[
            "",
            " local:",
            "SSH:host",
            "C:\\dir",
            ":x",
            "./root",
            "me@host",
            "me@host:22",
            "a b",
            "docker",
            "local:/x",
            "local:::/x",
            "local:::",
            "local:::etc",
            "local:::/a b\t|docker:web",
            "chroot:/::/x?password=secret",
            "ssh:host::/etc",
            "ssh:a|local:::/x",
            r"\\fe80::1",
            "local:foo",
            "web::/x",
            "web::x",
            "chroot:/a::b",
            "chroot",
            "image",
            "ssh",
            "daemon",
            "local",
            "chroot:",
            "docker:",
            "docker:-v",
            "docker:a%0Ab",
            r"\\host\share\x",
            r"\\host\pipe",
            r"\\",
        ],
        expect![[r#"
             => bad address: the text is empty (at byte 0); name a place, as in `local:` or `chroot:/srv/root`
             local: => bad address: the scheme ` local` is no lower-case word (at byte 0); places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            SSH:host => bad address: the scheme `SSH` is no lower-case word (at byte 0); write `ssh:`
            C:\\dir => bad address: the scheme `C` is no lower-case word (at byte 0); places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            :x => bad address: the scheme `` is no lower-case word (at byte 0); places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            ./root => bad address: the name `./root` is neither `scheme:target` nor a word (at byte 0); a root is written `chroot:./root`
            me@host => bad address: the name `me@host` is neither `scheme:target` nor a word (at byte 0); a host over ssh is written `ssh:me@host`
            me@host:22 => bad address: the name `me@host` is neither `scheme:target` nor a word (at byte 0); a host over ssh is written `ssh:me@host`
            a b => bad address: the name `a b` is neither `scheme:target` nor a word (at byte 0); places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            docker => bad address: the scheme `docker` has no colon of its own (at byte 0); write `docker:NAME`
            local:/x => bad address: the target `/x` does not belong after `local:` (at byte 6); write `local:`; another root is `chroot:PATH`
            local:::/x => bad address: the `::` begins a path, and only a place can stand here (at byte 6); a place has no path; to start in a directory: `--dir /x`
            local::: => bad address: the `::` begins a path, and only a place can stand here (at byte 6); a place has no path; to start in a directory: `--dir DIR`
            local:::etc => bad address: the `::` begins a path, and only a place can stand here (at byte 6); a place has no path; to start in a directory: `--dir etc`
            local:::/a b\t|docker:web => bad address: the `::` begins a path, and only a place can stand here (at byte 6); a place has no path; to start in a directory: `--dir /a b\t`
            chroot:/::/x?password=secret => bad address: the `::` begins a path, and only a place can stand here (at byte 8); a place has no path; to start in a directory: `--dir /x`
            ssh:host::/etc => bad address: the `::` begins a path, and only a place can stand here (at byte 8); a place has no path; to start in a directory: `--dir /etc`
            ssh:a|local:::/x => bad address: the `::` begins a path, and only a place can stand here (at byte 12); a place has no path; to start in a directory: `--dir /x`
            \\\\fe80::1 => bad address: the `::` begins a path, and only a place can stand here (at byte 6); put an IPv6 address in brackets, as in `ssh:[::1]`
            local:foo => bad address: the target `foo` does not belong after `local:` (at byte 6); write `local:`; another root is `chroot:PATH`
            web::/x => bad address: the `::` begins a path, and only a place can stand here (at byte 3); a place has no path; to start in a directory: `--dir /x`
            web::x => bad address: the `::` begins a path, and only a place can stand here (at byte 3); a place has no path; to start in a directory: `--dir x`
            chroot:/a::b => bad address: the `::` begins a path, and only a place can stand here (at byte 9); write `:%3A` in a name
            chroot => bad address: the scheme `chroot` has no colon of its own (at byte 0); write `chroot:PATH`
            image => bad address: the scheme `image` has no colon of its own (at byte 0); write `image:NAME`
            ssh => bad address: the scheme `ssh` has no colon of its own (at byte 0); write `ssh:HOST`
            daemon => bad address: the scheme `daemon` has no colon of its own (at byte 0); write `daemon:HOST`
            local => bad address: the scheme `local` has no colon of its own (at byte 0); write `local:`
            chroot: => bad address: the path of a root is missing (at byte 7)
            docker: => bad address: the name of a container is missing (at byte 7)
            docker:-v => bad address: the target `-v` is not a name (at byte 7)
            docker:a%0Ab => bad address: the target `a%0Ab` is not a name (at byte 7)
            \\\\host\\share\\x => bad address: the path `share\\x` does not name a pipe (at byte 7); a pipe is written `\\host\pipe\name`
            \\\\host\\pipe => bad address: the path `pipe` does not name a pipe (at byte 7); a pipe is written `\\host\pipe\name`
            \\\\ => bad address: a host is missing (at byte 2)
        "#]],
    );
}

#[test]
fn hosts() {
    check(
        &[
            "ssh:",
            "ssh:me@",
            "ssh:@host",
            "ssh:-oProxyCommand=x",
            "ssh:-l@host",
            "ssh:host:http",
            "ssh:host:",
            "ssh:host:0",
            "ssh:host:65536",
            "ssh:host:+22",
            "ssh:host:22:33",
            "ssh:fe80::1",
            "ssh:fe80:1:2",
            "ssh:[::1",
            "ssh:[::1]22",
            "ssh:[host]",
            "ssh:[fe80::1%eth0]",
            "ssh:[fe80::1%25]",
            "ssh:[fe80::1%25eth0%40x]",
            "ssh:host/etc",
            "ssh:host/",
            "ssh://me@host:22/",
            "docker://web",
            "daemon:me@host",
            "ssh:a%2Fb",
            "ssh:a%40b",
        ],
        expect![[r#"
            ssh: => bad address: a host is missing (at byte 4)
            ssh:me@ => bad address: a host is missing (at byte 7)
            ssh:@host => bad address: the user `` is not a user's name (at byte 4)
            ssh:-oProxyCommand=x => bad address: the host `-oProxyCommand=x` is not a host's name (at byte 4)
            ssh:-l@host => bad address: the user `-l` is not a user's name (at byte 4)
            ssh:host:http => bad address: the port `http` is not a number from 1 to 65535 (at byte 9)
            ssh:host: => bad address: the port `` is not a number from 1 to 65535 (at byte 9)
            ssh:host:0 => bad address: the port `0` is not a number from 1 to 65535 (at byte 9)
            ssh:host:65536 => bad address: the port `65536` is not a number from 1 to 65535 (at byte 9)
            ssh:host:+22 => bad address: the port `+22` is not a number from 1 to 65535 (at byte 9)
            ssh:host:22:33 => bad address: the port `22:33` is not a number from 1 to 65535 (at byte 9)
            ssh:fe80::1 => bad address: the `::` begins a path, and only a place can stand here (at byte 8); put an IPv6 address in brackets, as in `ssh:[::1]`
            ssh:fe80:1:2 => bad address: the port `1:2` is not a number from 1 to 65535 (at byte 9)
            ssh:[::1 => bad address: the `::` begins a path, and only a place can stand here (at byte 5); put an IPv6 address in brackets, as in `ssh:[::1]`
            ssh:[::1]22 => bad address: the host `22` is not a host's name (at byte 9)
            ssh:[host] => bad address: the host `host` is not an IPv6 address in brackets (at byte 5); an IPv6 address is written as in `ssh:[fe80::1%25eth0]:22`
            ssh:[fe80::1%eth0] => bad address: the escape `%et` is not `%` and two hexadecimal digits (at byte 12); write `%25` for a percent sign
            ssh:[fe80::1%25] => bad address: the host `fe80::1%25` is not an IPv6 address in brackets (at byte 5); an IPv6 address is written as in `ssh:[fe80::1%25eth0]:22`
            ssh:[fe80::1%25eth0%40x] => bad address: the host `fe80::1%25eth0%40x` is not an IPv6 address in brackets (at byte 5); an IPv6 address is written as in `ssh:[fe80::1%25eth0]:22`
            ssh:host/etc => bad address: the path `/etc` does not belong to a host (at byte 8); a place has no path; to start in a directory: `--dir /etc`
            ssh:host/ => bad address: the path `/` does not belong to a host (at byte 8); a place has no path; to start in a directory: `--dir /`
            ssh://me@host:22/ => bad address: the `//` does not belong there (at byte 4); write `ssh:me@host:22`
            docker://web => bad address: the `//` does not belong there (at byte 7); write `docker:web`
            daemon:me@host => bad address: a user does not belong in the address of a daemon (at byte 7)
            ssh:a%2Fb => bad address: the host `a%2Fb` is not a host's name (at byte 4)
            ssh:a%40b => bad address: the host `a%40b` is not a host's name (at byte 4)
        "#]],
    );
}

/// However a password is mangled by our syntax, no message repeats it.
#[test]
fn passwords() {
    for text in [
        "ssh:user:SECRET@host",
        "ssh:user:SECRET@x@host",
        "ssh:user:x|SECRET@host",
        "ssh:user:x|SECRET:y@host",
        "ssh:user:x,SECRET/y@host",
        "ssh:user:22|SECRET y@host",
        "ssh:user:22?SECRET@host",
        "ssh:user:22?a#SECRET@host",
        "ssh:user:x/SECRET@host",
        "ssh:user:SECRET%@host",
        "ssh:user:SECRET#@host",
        "ssh:user:x::SECRET@host",
        "ssh:user%3ASECRET@host",
        "ssh:user%SECRET@host",
        "smb:user:SECRET@host:445",
        "daemon:user:SECRET@host",
        "ssh://user:SECRET@host:22/",
        "docker://user:SECRET@host",
        "http://user:SECRET@host",
        "HTTP://user:SECRET@host",
        "user:SECRET@host",
        "user:SECRET y@host",
        "//user:SECRET@host",
        r"\\user:SECRET@host\pipe\x",
        "local:user:SECRET@host",
        "ssh:bastion|ssh:user:SECRET@host",
    ] {
        let said = match Address::parse(text) {
            Ok(address) => match address.connect() {
                Ok(_) => panic!("{text} is a place"),
                Err(error) => format!("{error}; {:?}; {:?}", error.hint(), error),
            },
            Err(error) => format!("{error}; {:?}; {:?}", error.hint(), error),
        };
        assert!(!said.contains("SECRET"), "{text}: {said}");
        if let Err(error) = Operand::parse(format!("{text}::/x")) {
            let said = format!("{error}; {:?}; {:?}", error.hint(), error);
            assert!(!said.contains("SECRET"), "{text}::/x: {said}");
        }
    }
    check(
        &["ssh:user:pw@host", "ssh:user%3Apw@host", "ssh:user:p|w@host"],
        expect![[r#"
            ssh:user:pw@host => bad address: a password does not belong in an address (at byte 9); leave it out, as in `ssh:user@host`: addresses are shown, logged and kept
            ssh:user%3Apw@host => bad address: a password does not belong in an address (at byte 4); leave it out, as in `ssh:user@host`: addresses are shown, logged and kept
            ssh:user:p|w@host => bad address: a password does not belong in an address (at byte 9); leave it out, as in `ssh:user@host`: addresses are shown, logged and kept
        "#]],
    );
}

#[test]
fn operands() {
    check_operands(
        &[
            "docker:web::/etc/hosts",
            "local:::/x",
            "local::::x",
            "ssh:me@[::1]:22::/x",
            "ssh:b|docker:web::/x::y",
            "local:|chroot:::/x",
            "chroot:/srv?a=b::x y%20#",
            "chroot:/a[::/b",
            "web::/x",
            "ssh:b|web::",
            r"\\host\pipe\x::/y",
            "docker:web",
            "/a::b",
            "./a::b",
            "dir/a::b",
            "web?key=/a:b::c",
            "a:b",
            "a",
            "",
            "local::/x",
            "me@host::/x",
            "ssh:host/etc::/x",
            "a b::c",
            "::x",
            "docker:::x",
            "./a\0b",
        ],
        expect![[r#"
            docker:web::/etc/hosts => docker:web "/etc/hosts"
            local:::/x => local: "/x"
            local::::x => local: ":x"
            ssh:me@[::1]:22::/x => ssh:me@[::1]:22 "/x"
            ssh:b|docker:web::/x::y => ssh:b|docker:web "/x::y"
            local:|chroot:::/x => bad address: the path of a root is missing (at byte 14)
            chroot:/srv?a=b::x y%20# => chroot:/srv?a=b "x y%20#"
            chroot:/a[::/b => chroot:/a%5B "/b"
            web::/x => web "/x"
            ssh:b|web:: => ssh:b|web ""
            \\\\host\\pipe\\x::/y => smb:host?pipe=x "/y"
            docker:web => here "docker:web"
            /a::b => here "/a::b"
            ./a::b => here "./a::b"
            dir/a::b => here "dir/a::b"
            web?key=/a:b::c => web?key=/a:b "c"
            a:b => here "a:b"
            a => here "a"
             => bad address: a file's name is missing (at byte 0)
            local::/x => bad address: the scheme `local` has no colon of its own (at byte 0); write `local:`
            me@host::/x => bad address: the name `me@host` is neither `scheme:target` nor a word (at byte 0); write `./` in front of a file's name that has `::` in it
            ssh:host/etc::/x => bad address: the path `/etc` does not belong to a host (at byte 8); a path follows `::`, as in `ssh:host::/etc`
            a b::c => bad address: the name `a b` is neither `scheme:target` nor a word (at byte 0); write `./` in front of a file's name that has `::` in it
            ::x => bad address: a hop is empty (at byte 0); between two hops stands one `|` or `,`; within a name they are `%7C` and `%2C`
            docker:::x => bad address: the name of a container is missing (at byte 7)
            ./a\0b => bad address: a NUL cannot be part of a name (at byte 3)
        "#]],
    );
}

#[test]
fn options_are_added_to_the_last_hop() {
    let mut address = Address::parse("ssh:h?a=1|docker:web?a=1&b=2").unwrap();
    address.add_option("a", Some("x|y&z".into())).unwrap();
    assert_eq!(address.to_string(), "ssh:h?a=1|docker:web?a=1&b=2&a=x%7Cy%26z");
    address.set_option("a", None).unwrap();
    assert_eq!(address.to_string(), "ssh:h?a=1|docker:web?b=2&a");
    for (key, value) in [("", None), ("A", None), ("a=b", None), ("a", Some("b\0".into()))] {
        assert!(address.set_option(key, value).is_err(), "{key:?}");
    }
    assert_eq!(address.to_string(), "ssh:h?a=1|docker:web?b=2&a");
    assert_eq!(Address::parse(address.to_string()), Ok(address.clone()));
    assert_eq!(address.without_options().to_string(), "ssh:h|docker:web");
}
