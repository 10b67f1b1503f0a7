//! Bytes in a line of JSON: base64 (RFC 4648), which other programs read as well.

use data_encoding::{BASE64, DecodeError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bytes(pub Vec<u8>);

impl From<Bytes> for String {
    fn from(Bytes(bytes): Bytes) -> Self {
        BASE64.encode(&bytes)
    }
}

impl TryFrom<String> for Bytes {
    type Error = DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64.decode(text.as_bytes()).map(Bytes)
    }
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
