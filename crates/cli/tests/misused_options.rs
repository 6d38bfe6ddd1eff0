//! What the tool says of options of an address that are wrong, and of the flags that stand for them.

mod common;

use common::Test;
use expect_test::expect;

#[test]
fn options_and_flags() {
    Test::new().says(
        &[
            "run chroot:/?frob true",
            "run chroot:/?overly true",
            "run chroot:/?net true",
            "run chroot:/?net=wifi true",
            "run chroot:/?read-only=yes true",
            "run chroot:/?read-only&read-only true",
            "run chroot:/?bind=:/x true",
            "run local:?net=none true",
            "run local:?user= true",
            "run local:?env=UNSET true",
            "run --net none local: true",
            "run --clear-env --bind /a --bind /b local: true",
            "shell --overlay local:",
            "run --net wifi chroot:/ true",
            "run --net",
            "run --net none --net none chroot:/ true",
            "run --net none docker:web true",
            "run --bind '' chroot:/ true",
            "run --ro-bind :/x chroot:/ true",
            "run --overlay= chroot:/ true",
            "run --overlay /x chroot:/ true",
            "run --overlay --overlay=/x chroot:/ true",
            "run --read-only=yes chroot:/ true",
            "run --tmpf /tmp chroot:/ true",
            "run --hostname a..b chroot:/ true",
            "run --bind /no/such/file chroot:/ true",
        ],
        expect![[r#"
            $ thither run chroot:/?frob true
            error: `chroot:/` has no option `frob`
            hint: known options: `bind`, `rbind`, `ro-bind`, `tmpfs`, `no-mounts`, `hostname`, `net`, `subids`, `overlay`, `read-only`, `skip-chdir`, `plain`, `user`, `dir`, `env`, `clear-env`
            exit 125
            $ thither run chroot:/?overly true
            error: `chroot:/` has no option `overly`
            hint: did you mean `overlay`?
            exit 125
            $ thither run chroot:/?net true
            error: bad option `net` of `chroot:/`: it needs a value
            hint: write `net=host|none`
            exit 125
            $ thither run chroot:/?net=wifi true
            error: bad option `net` of `chroot:/`: `wifi` is neither `host` nor `none`
            hint: write `net=host|none`
            exit 125
            $ thither run chroot:/?read-only=yes true
            error: bad option `read-only` of `chroot:/`: it takes no value
            hint: write `read-only`
            exit 125
            $ thither run chroot:/?read-only&read-only true
            error: `chroot:/` has the option `read-only` twice
            hint: leave one of them out
            exit 125
            $ thither run chroot:/?bind=:/x true
            error: bad option `bind` of `chroot:/`: it names nothing to mount
            hint: write `bind=SRC[:DEST]`
            exit 125
            $ thither run local:?net=none true
            error: `local:` has no option `net`
            hint: known options: `user`, `dir`, `env`, `clear-env`
            exit 125
            $ thither run local:?user= true
            error: bad option `user` of `local:`: its value is empty
            hint: write `user=USER`
            exit 125
            $ thither run local:?env=UNSET true
            error: bad option `env` of `local:`: `UNSET` is not set here
            hint: write `env=NAME[=VALUE]`
            exit 125
            $ thither run --net none local: true
            error: bad `--net`: `local:` has no option `net`
            hint: leave it out; it is about another root, as in `chroot:/srv/root`
            exit 125
            $ thither run --clear-env --bind /a --bind /b local: true
            error: bad `--bind`: `local:` has no option `bind`
            hint: leave it out; it is about another root, as in `chroot:/srv/root`
            exit 125
            $ thither shell --overlay local:
            error: bad `--overlay`: `local:` has no option `overlay`
            hint: leave it out; it is about another root, as in `chroot:/srv/root`
            exit 125
            $ thither run --net wifi chroot:/ true
            error: bad value `wifi` for `--net <NET>`
            hint: it is one of `host`, `none`
            exit 125
            $ thither run --net
            error: `--net <NET>` needs a value
            hint: it is one of `host`, `none`
            exit 125
            $ thither run --net none --net none chroot:/ true
            error: `--net <NET>` is given twice
            hint: usage: thither run [OPTIONS] <PLACE> [COMMAND]...
            exit 125
            $ thither run --net none docker:web true
            error: bad `--net`: `docker:web` has no option `net`
            hint: leave it out; it is about another root, as in `chroot:/srv/root`
            exit 125
            $ thither run --bind '' chroot:/ true
            error: bad `--bind`: its value is empty
            hint: write `--bind=SRC[:DEST]`
            exit 125
            $ thither run --ro-bind :/x chroot:/ true
            error: bad `--ro-bind`: it names nothing to mount
            hint: write `--ro-bind=SRC[:DEST]`
            exit 125
            $ thither run --overlay= chroot:/ true
            error: bad `--overlay`: its value is empty
            hint: write `--overlay[=DIR]`
            exit 125
            $ thither run --overlay /x chroot:/ true
            error: bad address: the name `/x` is neither `scheme:target` nor a word (at byte 0)
            hint: a root is written `chroot:/x`
            exit 125
            $ thither run --overlay --overlay=/x chroot:/ true
            error: `--overlay[=<DIR>]` is given twice
            hint: usage: thither run [OPTIONS] <PLACE> [COMMAND]...
            exit 125
            $ thither run --read-only=yes chroot:/ true
            error: `--read-only` takes no value
            hint: usage: thither run --read-only <PLACE> [COMMAND]...
            exit 125
            $ thither run --tmpf /tmp chroot:/ true
            error: unexpected argument `--tmpf`
            hint: did you mean `--tmpfs`?
            exit 125
            $ thither run --hostname a..b chroot:/ true
            error: cannot set the host name `a..b` in `chroot:/`: a part of it is empty
            exit 125
            $ thither run --bind /no/such/file chroot:/ true
            error: cannot mount `/no/such/file` on `/no/such/file` in `chroot:/`: no such file or directory
            exit 125
        "#]],
    );
}
