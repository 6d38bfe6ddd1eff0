//! Text and address are the same thing, whatever is in them.

use proptest::prelude::*;

use super::*;

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_.é]([a-zA-Z0-9_.|,#é-]{0,8})",
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("{address}%eth0")),
    ]
}

fn login() -> impl Strategy<Value = Login> {
    let user = proptest::option::of(r"[^:/\-\p{Cc}][^:/\p{Cc}]{0,8}");
    (user, host(), proptest::option::of(1u16..)).prop_map(|(user, host, port)| Login {
        user,
        host,
        port,
    })
}

fn bytes() -> impl Strategy<Value = OsString> {
    use std::os::unix::ffi::OsStringExt;
    // Syntax is more likely than in any bytes.
    let byte = prop_oneof![1u8.., proptest::sample::select(&b":|,?#%&=[]@/ "[..])];
    proptest::collection::vec(byte, 1..12).prop_map(OsString::from_vec)
}

fn target() -> impl Strategy<Value = Target> {
    let name = r"[^\-\p{Cc}]\P{Cc}{0,8}";
    prop_oneof![
        Just(Target::Local),
        bytes().prop_map(|path| Target::Chroot(path.into())),
        name.prop_map(Target::Docker),
        name.prop_map(Target::Image),
        login().prop_map(Target::Ssh),
        login().prop_map(Target::Smb),
        Just(Target::Daemon(Daemon::Default)),
        bytes().prop_map(|path| {
            let mut socket = OsString::from("/");
            socket.push(path);
            Target::Daemon(Daemon::Socket(socket.into()))
        }),
        (host(), proptest::option::of(1u16..))
            .prop_map(|(host, port)| Target::Daemon(Daemon::Host { host, port })),
        ("x[a-z0-9+.-]{0,6}", bytes()).prop_map(|(scheme, rest)| Target::Other(scheme, rest)),
        "[0-9x][a-zA-Z0-9._-]{0,8}".prop_map(Target::Named),
    ]
}

fn option() -> impl Strategy<Value = HopOption> {
    ("[a-z][a-z0-9-]{0,6}", proptest::option::of(prop_oneof![Just(OsString::new()), bytes()]))
        .prop_map(|(key, value)| HopOption { key, value })
}

fn address() -> impl Strategy<Value = Address> {
    let options = proptest::collection::vec(option(), 0..3);
    let hop = (target(), options).prop_map(|(target, options)| Hop { target, options });
    proptest::collection::vec(hop, 1..4).prop_map(|hops| Address { hops })
}

/// Text that is nearly an address.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let tokens = [
        "local:",
        "chroot:",
        "ssh:",
        "docker:",
        "image:",
        "daemon:",
        "smb:",
        "x:",
        "web",
        "me@",
        "host",
        "[::1]",
        "[fe80::1%25e]",
        ":22",
        "::",
        ":",
        "|",
        ",",
        "?",
        "&",
        "=",
        "a",
        "/",
        "%20",
        "%FF",
        "%00",
        "%2",
        "%",
        "#",
        " ",
        "[",
        "]",
        r"\\",
        r"\pipe\",
        "-",
        "\n",
        "é",
        "@",
    ];
    let token = proptest::sample::select(tokens.map(|token| token.as_bytes().to_vec()).to_vec());
    let token = prop_oneof![9 => token, 1 => proptest::collection::vec(any::<u8>(), 0..3)];
    proptest::collection::vec(token, 0..10).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn the_text_of_an_address_is_that_address(address in address()) {
        let text = address.to_string();
        prop_assert!(!text.contains(|c: char| c.is_whitespace() || c.is_control()), "{}", text);
        prop_assert_eq!(Address::parse(&text), Ok(address), "{}", text);
    }

    #[test]
    fn what_parses_has_a_canonical_text(text in text()) {
        match Address::parse(OsStr::from_bytes(&text)) {
            Ok(address) => {
                let canonical = address.to_string();
                prop_assert_eq!(Address::parse(&canonical), Ok(address), "{}", canonical);
            }
            Err(error) => {
                prop_assert!(error.offset() <= text.len());
                let said = format!("{error} {}", error.hint().unwrap_or_default());
                prop_assert!(!said.contains(char::is_control), "{}", said);
            }
        }
    }

    #[test]
    fn a_path_at_an_address_splits_there(address in address(), path in bytes()) {
        // A place by name has no colon of its own: the path's first byte decides.
        prop_assume!(!matches!(address.hops.last().map(Hop::target), Some(Target::Named(_)))
            || !path.as_bytes().starts_with(b":"));
        let mut text = OsString::from(format!("{address}::"));
        text.push(&path);
        prop_assume!(text.as_bytes().split(|&b| b == b':').next().is_some_and(|head| !head.contains(&b'/')));
        let operand = Operand { place: Some(address), path: path.into() };
        prop_assert_eq!(Operand::parse(&text), Ok(operand), "{:?}", text);
    }

    #[test]
    fn an_operand_is_a_place_and_a_path_or_all_path(text in text()) {
        let text = OsStr::from_bytes(&text);
        match Operand::parse(text) {
            Ok(Operand { place: None, path }) => prop_assert_eq!(path, PathBuf::from(text)),
            Ok(Operand { place: Some(_), path }) => {
                prop_assert!(text.as_bytes().ends_with(path.as_os_str().as_bytes()));
                prop_assert!(text.len() >= path.as_os_str().len() + 3);
            }
            Err(error) => prop_assert!(error.offset() <= text.len()),
        }
    }
}
