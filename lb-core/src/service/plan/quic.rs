//! How connection IDs of QUIC name servers.

use crate::{
    named::named,
    option,
    service::option::{Kind, Opt, Setting, Value, fields, to_table},
    wire::{
        quic::{MOST_NAME_LEN, Name},
        quic_lb::{CONFIGURATIONS, KEY_LEN, LEAST_NONCE_LEN, MOST_LEN},
    },
    words,
};
use std::fmt;

named! {
    /// How a server's name stands in connection IDs.
    QuicLayout {
        /// It does not.
        None = "none",
        /// As draft-ietf-quic-load-balancers has it.
        QuicLb = "quic-lb",
        /// As Katran reads it: a number.
        Katran = "katran",
    }
}

words!(QuicLayout);

/// How connection IDs of a service's clients name its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicPlan {
    /// How a name stands there.
    pub layout: QuicLayout,
    /// Configurations of QUIC-LB, told apart by their numbers.
    pub configs: Vec<QuicConfig>,
}

/// A configuration of QUIC-LB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicConfig {
    /// Its number in connection IDs: the config rotation bits.
    pub rotation: u8,
    /// Bytes of servers' names; 0 if nobody has said.
    pub server_id_length: u8,
    /// Bytes of the nonce behind them; 0 if nobody has said.
    pub nonce_length: u8,
    /// What both are encrypted with.
    pub key: Option<QuicKey>,
}

/// A key of AES. Nobody needs to see it.
#[derive(Clone, PartialEq, Eq)]
pub struct QuicKey(pub [u8; KEY_LEN]);

impl Default for QuicPlan {
    fn default() -> Self {
        QuicPlan { layout: QuicLayout::None, configs: Vec::new() }
    }
}

impl QuicPlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            layout,
            Kind::Word(QuicLayout::NAMES),
            "Where a server's ID stands in connection IDs: as QUIC-LB has it (draft-ietf-quic-load-balancers), or Katran \
             (its versions 1, 2 and 3, each ID says which)."
        ),
        Opt::<Self>::new(
            "configs",
            Kind::Tables(|| fields(QuicConfig::OPTIONS)),
            "Configurations of QUIC-LB, several while servers go from one to the next. Katran has none.",
            |quic| {
                let tables = quic.configs.iter().map(|config| to_table(QuicConfig::OPTIONS, config));
                (!quic.configs.is_empty()).then(|| Value::List(tables.collect()))
            },
            |quic, value| {
                let Value::List(tables) = value else { return false };
                let configs: Option<Vec<_>> = tables.iter().map(QuicConfig::of).collect();
                configs.map(|configs| quic.configs = configs).is_some()
            },
        )
        .example("[{ rotation = 0, server_id_length = 3, nonce_length = 4 }]"),
    ];

    /// Whether connections follow their IDs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.layout != QuicLayout::None
    }
}

impl QuicConfig {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            rotation,
            Kind::number(0, CONFIGURATIONS as u64 - 1),
            "Its number, which the first three bits of connection IDs have: the config rotation bits."
        ),
        option!(
            server_id_length,
            Kind::number(1, MOST_NAME_LEN as u64),
            "Bytes of servers' IDs. A long one is seldom named by chance: IDs that clients choose may name any server."
        )
        .default("required"),
        option!(
            nonce_length,
            Kind::number(LEAST_NONCE_LEN as u64, MOST_LEN as u64 - 1),
            "Bytes of the nonce behind it. Together they have 19 at most; 16 take one pass of AES, others three or four."
        )
        .default("required"),
        option!(
            key,
            Kind::Key,
            "Both are encrypted with it, by AES-128. Without it anybody sees which connections have one server."
        ),
    ];

    fn of(value: &Value) -> Option<Self> {
        let mut config = QuicConfig::default();
        crate::service::option::from_table(Self::OPTIONS, &mut config, value).then_some(config)
    }
}

impl Setting for QuicKey {
    fn to_value(&self) -> Option<Value> {
        let digits = self.0.iter().map(|byte| format!("{byte:02x}"));
        Some(Value::Secret(digits.collect()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        let Value::Secret(digits) = value else { return None };
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2 * KEY_LEN)?;
        Some(QuicKey(bits.to_be_bytes()))
    }
}

impl fmt::Debug for QuicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicKey(..)")
    }
}

impl Setting for Name {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(digits) = value { digits.parse().ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_to_nobody() {
        let key = QuicKey(*b"0123456789abcdef");
        let value = key.to_value().unwrap();
        assert_eq!(QuicKey::from_value(&value), Some(key.clone()));
        assert_eq!(value.to_string(), "\"30313233343536373839616263646566\"", "but in a file");
        let config = QuicConfig { key: Some(key), ..QuicConfig::default() };
        let plan = QuicPlan { layout: QuicLayout::QuicLb, configs: vec![config] };
        let plain = to_table(QuicPlan::OPTIONS, &plan).plain();
        for shown in [plain, format!("{plan:?}")] {
            assert!(!shown.contains("3031") && !shown.contains("48, 49"), "{shown}");
        }
    }
}
