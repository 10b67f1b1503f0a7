//! Bytes in a line of JSON: base64 (RFC 4648), which other programs read as well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bytes(pub Vec<u8>);

impl From<Bytes> for String {
    fn from(Bytes(bytes): Bytes) -> Self {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for three in bytes.chunks(3) {
            let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
            for at in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
                text.push(if at <= three.len() { letter.into() } else { '=' });
            }
        }
        text
    }
}

impl TryFrom<String> for Bytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let letters = text.trim_end_matches('=').as_bytes();
        let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
        for four in letters.chunks(4) {
            let mut bits = 0;
            for at in 0..4 {
                bits = bits << 6 | four.get(at).map_or(Ok(0), |letter| value(*letter).ok_or("not base64"))?;
            }
            bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        Ok(Bytes(bytes))
    }
}

fn value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("foo", "Zm9v"), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(String::from(Bytes(bytes.into())), text);
            assert_eq!(Bytes::try_from(text.to_owned()).unwrap().0, bytes.as_bytes());
        }
        assert!(Bytes::try_from("a b=".to_owned()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            prop_assert_eq!(&Bytes::try_from(String::from(Bytes(bytes.clone()))).unwrap().0, &bytes);
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = Bytes::try_from(text);
        }
    }
}
