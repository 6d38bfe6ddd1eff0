use std::fs;
use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::*;

fn token(secret: [u8; 16], server: [u8; 32]) -> Token {
    Token { secret: Zeroizing::new(secret), server: server.into() }
}

/// A store with nothing in it, in a folder that vanishes with the first of the two.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("daemon"));
    (folder, store)
}

/// That many milliseconds after the boot.
fn at(millis: u64) -> Now {
    Now { boot: "this".into(), since: Duration::from_millis(millis) }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_token_as_text() {
    let text = token([0xab; 16], [0xcd; 32]).to_text();
    assert_eq!(text.len(), HEAD.len() + LENGTH);
    // The sum is that of sha256sum(1).
    let known =
        "thither-pair-q6urq6urq6urq6urq6urq83Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3NdUafaA";
    assert_eq!(*text, known);
    let again: Token = format!(" {}\r\n", *text).parse().unwrap();
    assert_eq!((again.secret(), again.server()), (&[0xab; 16], [0xcd; 32].into()));
    let shown = format!("{again:?}");
    assert!(shown.contains(&again.server().to_string()), "{shown}");
    assert!(
        !shown.contains("171") && !shown.contains("q6ur") && !shown.contains("abab"),
        "{shown}"
    );
}

#[track_caller]
fn check_bad(text: &str, error: TokenError) {
    assert_eq!(text.parse::<Token>().unwrap_err(), error, "{text}");
}

#[test]
fn what_is_no_token() {
    let good = token([1; 16], [2; 32]).to_text();
    check_bad("", TokenError::NoToken);
    check_bad("thither", TokenError::NoToken);
    check_bad(&good[8..], TokenError::NoToken);
    check_bad(&good.to_uppercase(), TokenError::NoToken);
    check_bad(&good[..good.len() - 1], TokenError::Length { got: LENGTH - 1 });
    check_bad(HEAD, TokenError::Length { got: 0 });
    check_bad(&format!("{}A", *good), TokenError::Length { got: LENGTH + 1 });
    check_bad(&good.replace("AQEB", "AQ B"), TokenError::Character { at: HEAD.len() + 3 });
    check_bad(
        &format!("{}ä", &good[..good.len() - 2]),
        TokenError::Character { at: good.len() - 1 },
    );
    // Each character counts, the last one and its bits without a meaning too.
    for at in HEAD.len()..good.len() {
        let mut bad = good.as_bytes().to_vec();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        check_bad(std::str::from_utf8(&bad).unwrap(), TokenError::Checksum);
    }
    let error = TokenError::Length { got: 3 };
    let text = "the token has 3 characters after `thither-pair-` instead of 70";
    assert_eq!(
        (error.to_string().as_str(), error.hint()),
        (text, "copy the whole token once more")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_text_can_be_read(text: String, coded in "[A-Za-z0-9_-]{70}", secret: [u8; 16], server: [u8; 32]) {
        let _ = text.parse::<Token>();
        let _ = format!("{HEAD}{text}").parse::<Token>();
        let _ = format!("{HEAD}{coded}").parse::<Token>();
        let again: Token = token(secret, server).to_text().parse().unwrap();
        prop_assert_eq!((*again.secret(), again.server()), (secret, server.into()));
    }
}

#[test]
fn a_token_is_used_once() {
    let (_folder, store) = store();
    assert!(!store.has_token().unwrap());
    assert!(!store.use_token(&[0; 16]).unwrap());
    let token = store.new_token(TOKEN_LIFETIME).unwrap();
    assert_eq!(token.server(), store.server_key().unwrap().fingerprint());
    assert!(store.has_token().unwrap());
    let mut wrong = *token.secret();
    wrong[15] ^= 1;
    assert!(!store.use_token(&wrong).unwrap());
    assert!(store.use_token(token.secret()).unwrap());
    assert!(!store.use_token(token.secret()).unwrap());
    assert!(!store.has_token().unwrap());
    // The secret itself was never there.
    let other = store.new_token(TOKEN_LIFETIME).unwrap();
    let name = name_of(other.secret());
    assert_eq!(files(&store), std::slice::from_ref(&name));
    let record = fs::read(store.path().join(TOKENS).join(name)).unwrap();
    assert!(!record.windows(16).any(|part| part == other.secret()));
}

/// The names of the tokens' files.
fn files(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.path().join(TOKENS)).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether a token that was made at one moment can be used at another.
#[track_caller]
fn check_use(made: &Now, used: &Now, expected: bool) {
    let (_folder, store) = store();
    let token = store.new_token_at(SECOND, made).unwrap();
    assert_eq!(store.has_token_at(used).unwrap(), expected, "has: {made:?}, {used:?}");
    assert_eq!(store.use_token_at(token.secret(), used).unwrap(), expected, "{made:?}, {used:?}");
    assert!(files(&store).is_empty(), "used up or swept");
}

#[test]
fn a_token_lives_for_its_time_in_its_boot() {
    check_use(&at(5000), &at(5000), true);
    check_use(&at(5000), &at(5999), true);
    check_use(&at(5000), &at(6000), false);
    check_use(&at(5000), &at(u64::MAX), false);
    // As if the clock had gone back.
    check_use(&at(5000), &at(4999), false);
    check_use(&at(5000), &Now { boot: "next".into(), ..at(5500) }, false);
    check_use(&at(5000), &Now { boot: String::new(), ..at(5500) }, false);
}

#[test]
fn old_tokens_are_swept() {
    let (_folder, store) = store();
    store.new_token_at(SECOND, &at(0)).unwrap();
    let other = store.new_token_at(SECOND, &at(500)).unwrap();
    fs::write(store.path().join(TOKENS).join("notes"), "mine").unwrap();
    store.new_token_at(SECOND, &at(1200)).unwrap();
    assert_eq!(files(&store).len(), 3);
    assert!(store.use_token_at(other.secret(), &at(1300)).unwrap());
    assert!(!store.use_token_at(&[0; 16], &at(9000)).unwrap());
    assert_eq!(files(&store), ["notes"]);
}

#[test]
fn records_that_say_nothing() {
    let good = at(5).record(SECOND);
    assert!(at(5).is_within(good.as_bytes()));
    let [short, more] = [&good[..good.len() - 1], &good.replace('\n', " 1\n")];
    for bad in ["", "\n", "this\n", "this 0\n", "this a b\n", "this -1 9\n", short, more] {
        assert!(!at(5).is_within(bad.as_bytes()), "{bad:?}");
    }
    assert!(!at(5).is_within(b"this 0 9\xff\n"));
    assert!(!at(5).is_within(format!("this 0 {}\n", "9".repeat(50)).as_bytes()));
}

#[test]
fn of_two_that_use_a_token_one_does() {
    let (_folder, store) = store();
    for _ in 0..50 {
        let token = store.new_token(TOKEN_LIFETIME).unwrap();
        let start = Barrier::new(4);
        let used = thread::scope(|scope| {
            let one = || {
                start.wait();
                store.use_token(token.secret()).unwrap()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(used.iter().filter(|&&used| used).count(), 1, "{used:?}");
    }
}
