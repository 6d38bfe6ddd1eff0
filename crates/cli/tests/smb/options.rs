//! Options that are wrong, and what completion offers.

use expect_test::expect;

use crate::common::Test;

#[test]
fn options_and_flags() {
    Test::new().says(
        &[
            "run smb:web?frob true",
            "run smb:web?pip=x true",
            "run smb:web?pipe= true",
            "run smb:web?encrypt=maybe true",
            "run smb:web?compat=psexec true",
            "run smb:web?timeout=soon true",
            "run smb:web?port=0 true",
            "run smb:web:445?port=446 true",
            "run smb:ann@web?username=bob true",
            "run smb:web?password-file=/no/such/file true",
            "run smb:web?password-fd=99 true",
            "run smb:web?password-fd=x true",
            "run smb:web?ask-password=yes true",
            "run smb:web?ask-password true",
            "run smb:web?identity=x true",
            "run smb: true",
            "run smb:web:0 true",
            "run smb:web:x true",
            r"run \\web\share true",
            r"run \\web\pipe\ true",
            r"run \\web\pipe\a\b true",
            "run --encrypt maybe smb:web true",
            "run --pipe x local: true",
            "run --compat smb:web true",
            "cp smb:web /tmp/x",
        ],
        expect![[r#"
            $ thither run smb:web?frob true
            error: `smb:web` has no option `frob`
            hint: known options: `username`, `domain`, `port`, `password-file`, `password-fd`, `ask-password`, `pipe`, `compat`, `encrypt`, `timeout`, `user`, `dir`, `env`, `clear-env`
            exit 125
            $ thither run smb:web?pip=x true
            error: `smb:web` has no option `pip`
            hint: did you mean `pipe`?
            exit 125
            $ thither run smb:web?pipe= true
            error: bad option `pipe` of `smb:web`: its value is empty
            hint: write `pipe=NAME`
            exit 125
            $ thither run smb:web?encrypt=maybe true
            error: bad option `encrypt` of `smb:web`: it is none of these
            hint: write `encrypt=require|prefer|off`
            exit 125
            $ thither run smb:web?compat=psexec true
            error: bad option `compat` of `smb:web`: it is none of these
            hint: write `compat=pushy`
            exit 125
            $ thither run smb:web?timeout=soon true
            error: bad option `timeout` of `smb:web`: it is no number of seconds
            hint: write `timeout=SECONDS`
            exit 125
            $ thither run smb:web?port=0 true
            error: bad option `port` of `smb:web`: it is no port
            hint: write `port=PORT`
            exit 125
            $ thither run smb:web:445?port=446 true
            error: bad option `port` of `smb:web:445`: the address names another port
            hint: write `port=PORT`
            exit 125
            $ thither run smb:ann@web?username=bob true
            error: bad option `username` of `smb:ann@web`: the address names another user
            hint: write `username=[DOMAIN\]USER`
            exit 125
            $ thither run smb:web?password-file=/no/such/file true
            error: bad option `password-file` of `smb:web`: `/no/such/file`: no such file or directory
            hint: write `password-file=FILE`
            exit 125
            $ thither run smb:web?password-fd=99 true
            error: bad option `password-fd` of `smb:web`: descriptor 99: no such file or directory
            hint: write `password-fd=NUMBER`
            exit 125
            $ thither run smb:web?password-fd=x true
            error: bad option `password-fd` of `smb:web`: it is no number of a descriptor
            hint: write `password-fd=NUMBER`
            exit 125
            $ thither run smb:web?ask-password=yes true
            error: bad option `ask-password` of `smb:web`: it takes no value
            hint: write `ask-password`
            exit 125
            $ thither run smb:web?ask-password true
            error: bad option `ask-password` of `smb:web`: it cannot be asked for: no such device or address
            hint: write `ask-password`
            exit 125
            $ thither run smb:web?identity=x true
            error: `smb:web` has no option `identity`
            hint: known options: `username`, `domain`, `port`, `password-file`, `password-fd`, `ask-password`, `pipe`, `compat`, `encrypt`, `timeout`, `user`, `dir`, `env`, `clear-env`
            exit 125
            $ thither run smb: true
            error: bad address: a host is missing (at byte 4)
            exit 125
            $ thither run smb:web:0 true
            error: bad address: the port `0` is not a number from 1 to 65535 (at byte 8)
            exit 125
            $ thither run smb:web:x true
            error: bad address: the port `x` is not a number from 1 to 65535 (at byte 8)
            exit 125
            $ thither run \\web\share true
            error: bad address: the path `share` does not name a pipe (at byte 6)
            hint: a pipe is written `\\host\pipe\name`
            exit 125
            $ thither run \\web\pipe\ true
            error: bad address: the path `pipe\\` does not name a pipe (at byte 6)
            hint: a pipe is written `\\host\pipe\name`
            exit 125
            $ thither run \\web\pipe\a\b true
            error: cannot enter `smb:web`: no password is given, and Kerberos is not supported
            hint: give one by the option ask-password or password-file=FILE
            exit 125
            $ thither run --encrypt maybe smb:web true
            error: bad value `maybe` for `--encrypt <HOW>`
            hint: it is one of `require`, `prefer`, `off`
            exit 125
            $ thither run --pipe x local: true
            error: bad `--pipe`: `local:` has no option `pipe`
            hint: leave it out; it is about a host over SMB, as in `smb:web`
            exit 125
            $ thither run --compat smb:web true
            error: bad value `smb:web` for `--compat <PROGRAM>`
            hint: it is one of `pushy`
            exit 125
            $ thither cp smb:web /tmp/x
            error: `smb:web` is a place and names no file there
            hint: write `PLACE::PATH`, or `./NAME` for a file of this machine
            exit 125
        "#]],
    );
}
