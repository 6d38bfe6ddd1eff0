use super::*;

/// Bytes with units of UTF-16 where a text is: `"ab"` for `a\0b\0`.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// What stands before a text of so many units.
fn count(count: u8) -> Vec<u8> {
    vec![count, 0, 0, 0, 0, 0, 0, 0, count, 0, 0, 0]
}

#[track_caller]
fn check(call: Call<'_>, opnum: u16, expected: &[&[u8]]) {
    assert_eq!((call.opnum(), call.encode()), (opnum, expected.concat()));
}

const HANDLE: Handle = [9; 20];

/// By the order of arguments in MS-SCMR 3.1.4 and the rules of C706, chapter 14.
#[test]
fn calls_are_encoded() {
    check(Call::Close(&HANDLE), 0, &[&HANDLE]);
    check(Call::Stop(&HANDLE), 1, &[&HANDLE, &[1, 0, 0, 0]]);
    check(Call::Delete(&HANDLE), 2, &[&HANDLE]);
    check(Call::State(&HANDLE), 6, &[&HANDLE]);
    check(Call::Settings(&HANDLE), 17, &[&HANDLE, &[0, 0x20, 0, 0]]);
    check(Call::Start(&HANDLE), 19, &[&HANDLE, &[0; 8]]);
    let open = Call::Open { manager: &HANDLE, name: "ab", rights: 5 };
    check(open, 16, &[&HANDLE, &count(3), &wide("ab\0"), &[0, 0], &[5, 0, 0, 0]]);
    let manager = Call::OpenManager { host: "a", rights: 3 };
    let name = [&count(4)[..], &wide("\\\\a\0")].concat();
    check(manager, 15, &[&[0, 0, 2, 0], &name, &[0; 4], &[3, 0, 0, 0]]);
}

#[test]
fn a_service_is_described() {
    let call =
        Call::Create { manager: &HANDLE, name: "a", display: "b", command: "c", rights: 0x1_0000 };
    let expected: [&[u8]; 12] = [
        &HANDLE,
        &count(2),
        &wide("a\0"),
        &[0, 0, 2, 0],
        &count(2),
        &wide("b\0"),
        &[0, 0, 1, 0],
        &[0x10, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0],
        &count(2),
        &wide("c\0"),
        // Group, tag, dependencies, their length.
        &[0; 16],
        // Account, password, its length.
        &[0; 12],
    ];
    check(call, 12, &expected);
}

#[track_caller]
fn check_reply(opnum: u16, results: &[&[u8]], expected: Result<(u32, Answer), &'static str>) {
    let expected = expected.map(|(code, answer)| Reply { code, answer }).map_err(Malformed);
    let results = results.concat();
    assert_eq!(reply(opnum, &results), expected);
    // All of it is needed.
    if expected.is_ok() {
        for length in 0..results.len() {
            let cut = reply(opnum, &results[..length]);
            assert_eq!(cut, Err(Malformed("it is cut short")), "{length}");
        }
    }
}

const DENIED: [u8; 4] = [5, 0, 0, 0];

#[test]
fn results_are_decoded() {
    check_reply(opnum::CLOSE, &[&[0; 24]], Ok((0, Answer::Done)));
    check_reply(opnum::DELETE, &[&DENIED], Ok((5, Answer::Done)));
    check_reply(opnum::START, &[&[0; 4]], Ok((0, Answer::Done)));
    let handle = || Answer::Handle(HANDLE);
    check_reply(opnum::OPEN_MANAGER, &[&HANDLE, &[0; 4]], Ok((0, handle())));
    check_reply(opnum::OPEN, &[&HANDLE, &DENIED], Ok((5, handle())));
    check_reply(opnum::CREATE, &[&[0; 4], &HANDLE, &[0; 4]], Ok((0, handle())));
    // With a tag.
    let tag = [1, 0, 0, 0, 7, 0, 0, 0];
    check_reply(opnum::CREATE, &[&tag, &HANDLE, &[0; 4]], Ok((0, handle())));
    check_reply(99, &[&[0; 4]], Err("nobody called that"));
}

#[test]
fn states_are_decoded() {
    let state = |state: u8| [&[16, 0, 0, 0, state, 0, 0, 0][..], &[0; 20]].concat();
    let running = Answer::State(State::Running);
    check_reply(opnum::STATE, &[&state(4), &[0; 4]], Ok((0, running)));
    let stopping = Answer::State(State::StopPending);
    check_reply(opnum::CONTROL, &[&state(3), &[0; 4]], Ok((0, stopping)));
    check_reply(opnum::CONTROL, &[&[0; 28], &DENIED], Ok((5, Answer::Done)));
    let unheard = "there is no such state of a service";
    check_reply(opnum::STATE, &[&state(8), &[0; 4]], Err(unheard));
    check_reply(opnum::STATE, &[&[0; 28], &[0; 4]], Err(unheard));
}

#[test]
fn settings_are_decoded() {
    let head = [16, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0];
    let pointers = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
    let command = [&count(2)[..], &wide("c\0")].concat();
    let account = [&count(2)[..], &wide("l\0")].concat();
    let display = [&count(2)[..], &wide("d\0")].concat();
    let settings = Settings { is_automatic: true, command: "c".into(), account: "l".into() };
    let results: [&[u8]; 7] =
        [&head, &pointers, &command, &account, &display, &[9, 0, 0, 0], &[0; 4]];
    check_reply(opnum::SETTINGS, &results, Ok((0, Answer::Settings(settings))));
    let nothing = Settings { is_automatic: false, command: String::new(), account: String::new() };
    check_reply(opnum::SETTINGS, &[&[0; 40], &DENIED], Ok((5, Answer::Settings(nothing))));
    let endless = [&[0; 12][..], &[1; 24], &[0xff; 4], &[0; 4], &[0xff; 4]].concat();
    check_reply(opnum::SETTINGS, &[&endless], Err("it is cut short"));
}
