use super::*;

#[test]
fn the_first_message() {
    let expected =
        b"\x05\0\x0b\x03\x10\0\0\0\x48\0\0\0\x01\0\0\0\xb8\x10\xb8\x10\0\0\0\0\x01\0\0\0\0\0\x01\0\
        \x81\xbb\x7a\x36\x44\x98\xf1\x35\xad\x32\x98\xf0\x38\0\x10\x03\x02\0\0\0\
        \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\0\x2b\x10\x48\x60\x02\0\0\0";
    assert_eq!(bind(1), expected);
}

#[test]
fn calls_are_cut_into_fragments() {
    let whole = request(2, 12, &[7; 20], LONGEST);
    let head = b"\x05\0\0\x03\x10\0\0\0\x2c\0\0\0\x02\0\0\0\x14\0\0\0\0\0\x0c\0";
    assert_eq!(whole, [[&head[..], &[7; 20]].concat()]);
    assert_eq!(request(2, 0, &[], LONGEST).len(), 1);
    let parts = request(3, 1, &[7; 100], 64);
    let shown: Vec<_> = parts.iter().map(|part| (part.len(), part[3], part[16])).collect();
    // Their lengths, flags and hints.
    assert_eq!(shown, [(64, FIRST, 100), (64, 0, 60), (44, LAST, 20)]);
    assert!(parts.iter().all(|part| length(part) == Ok(part.len())));
}

fn fragment(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    head(kind, flags, 9, HEAD + body.len()).bytes(body).done()
}

#[track_caller]
fn check(bytes: &[u8], expected: Result<(u8, Said<'_>), &'static str>) {
    let expected = expected.map(|(flags, said)| Fragment {
        call: 9,
        first: flags & FIRST != 0,
        last: flags & LAST != 0,
        said,
    });
    assert_eq!(decode(bytes), expected.map_err(Malformed));
}

const ACK: &[u8] = b"\xb8\x10\xb8\x10\x34\x12\0\0\x0d\0\\PIPE\\ntsvcs\0\0\x01\0\0\0\0\0\0\0\
    \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\0\x2b\x10\x48\x60\x02\0\0\0";

#[test]
fn answers_are_read() {
    check(&fragment(kind::BIND_ACK, 3, ACK), Ok((3, Said::Bound(4280))));
    let mut refused = ACK.to_vec();
    refused[28..32].copy_from_slice(&[2, 0, 1, 0]);
    check(&fragment(kind::BIND_ACK, 3, &refused), Ok((3, Said::Unbound(1))));
    check(&fragment(kind::BIND_NAK, 3, b"\x04\0\x01\x05\0"), Ok((3, Said::Unbound(4))));
    let response = b"\x02\0\0\0\0\0\0\0hi";
    check(&fragment(kind::RESPONSE, 1, response), Ok((1, Said::Results(b"hi"))));
    check(&fragment(kind::RESPONSE, 2, &[0; 8]), Ok((2, Said::Results(b""))));
    let fault = b"\0\0\0\0\0\0\0\0\x02\0\x01\x1c\0\0\0\0";
    check(&fragment(kind::FAULT, 3, fault), Ok((3, Said::Fault(0x1c01_0002))));
}

#[test]
fn what_is_no_answer() {
    check(b"", Err("it is cut short"));
    check(&[0; 16], Err("it is no DCE/RPC"));
    check(&fragment(kind::RESPONSE, 3, &[0; 7]), Err("it is cut short"));
    check(&fragment(kind::FAULT, 3, &[0; 11]), Err("it is cut short"));
    check(&fragment(kind::REQUEST, 3, &[0; 8]), Err("it is no answer"));
    check(&fragment(kind::BIND_ACK, 3, &ACK[..40]), Err("it is cut short"));
    let mut bytes = fragment(kind::RESPONSE, 3, &[0; 8]);
    bytes.push(0);
    check(&bytes, Err("its length is wrong"));
    bytes.truncate(20);
    check(&bytes, Err("its length is wrong"));
    bytes[8] = 15;
    check(&bytes, Err("it is cut short"));
    bytes[8..10].fill(0xff);
    check(&bytes, Err("a fragment is too long"));
    let mut bytes = fragment(kind::RESPONSE, 3, &[0; 8]);
    bytes[4] = 0;
    check(&bytes, Err("its numbers are of another kind"));
    bytes[4] = 0x10;
    bytes[10] = 8;
    check(&bytes, Err("it is authenticated, and nobody asked for that"));
}

#[test]
fn bad_answers_to_the_first_message() {
    let mut many = ACK.to_vec();
    many[24] = 2;
    check(&fragment(kind::BIND_ACK, 3, &many), Err("it answers what nobody asked"));
    let mut other = ACK.to_vec();
    other[32] ^= 1;
    check(&fragment(kind::BIND_ACK, 3, &other), Err("its numbers are of another kind"));
    let mut small = ACK.to_vec();
    small[2..4].copy_from_slice(&[63, 0]);
    check(&fragment(kind::BIND_ACK, 3, &small), Err("it takes next to nothing"));
}
