//! What is encoded is decoded to the same.

use proptest::prelude::*;

use super::super::{Complex, Value};
use super::{decode, encode};

/// What has a hash in Python, so that it can be a key.
fn hashable() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<i32>().prop_map(|n| Value::Int(n.into())),
        any::<i128>().prop_flat_map(|n| (0_u32..128).prop_map(move |bits| Value::Int(n >> bits))),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        (any::<f64>(), any::<f64>()).prop_map(|(re, im)| Value::Complex(Complex { re, im })),
        any::<String>().prop_map(Value::Str),
        Just(Value::SurrogateStr(b"a\xed\xa0\x80".to_vec())),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let items = prop::collection::vec(inner, 0..4);
        prop_oneof![items.clone().prop_map(Value::Tuple), items.prop_map(Value::FrozenSet),]
    })
}

fn values() -> impl Strategy<Value = Value> {
    hashable().prop_recursive(5, 64, 8, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.prop_map(Value::Tuple),
            prop::collection::vec(hashable(), 0..8).prop_map(Value::Set),
            prop::collection::vec((hashable(), inner), 0..8).prop_map(Value::Dict),
        ]
    })
}

/// What values consist of, and what does not belong there.
const PIECES: &[u8] = b"NTF.Silgysut([<>{0\0\0\0\0\x01\x02\x80\xff";

proptest! {
    #[test]
    fn round_trip(value in values()) {
        let bytes = encode(&value).unwrap();
        let decoded: Value = decode(&bytes).unwrap();
        prop_assert_eq!(format!("{decoded:?}"), format!("{value:?}"));
        // NaN by its bits, too.
        prop_assert_eq!(encode(&decoded).unwrap(), bytes);
    }

    #[test]
    fn ints_of_any_width(signed: i128, unsigned: u128, bits in 0_u32..128) {
        let (signed, unsigned) = (signed >> bits, unsigned >> bits);
        prop_assert_eq!(decode::<i128>(&encode(&signed).unwrap()).unwrap(), signed);
        prop_assert_eq!(decode::<u128>(&encode(&unsigned).unwrap()).unwrap(), unsigned);
        let float: f64 = decode(&encode(&signed).unwrap()).unwrap();
        prop_assert_eq!(float, signed as f64);
    }

    #[test]
    fn anything_received(bytes in prop::collection::vec(prop::sample::select(PIECES), 0..8)) {
        if let Ok(value) = decode::<Value>(&bytes) {
            let _ = encode(&value);
        }
    }
}
