//! Options: what operators say about a service, a server and the like, key by key.
//!
//! What has options has a table of them beside its type, a `const OPTIONS: &[Opt<Self>]`: an entry for each, with its key,
//! its kind, its help, and how it is read from and written to the type. Everything else follows from the tables: the
//! configuration file's reader, the effective configuration, what is different after a reload, what is saved, what the
//! control protocol and the shell can set, and the reference.

use crate::time::Duration;
use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// A value as configurations have it. Its `Display` is how a configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// Text.
    Text(String),
    /// Text that is written to files, and in no message.
    Secret(String),
    /// A length of time.
    Duration(Duration),
    /// The address of a host.
    Address(IpAddr),
    /// An address with a port.
    Endpoint(SocketAddr),
    /// Values, one after the other.
    List(Vec<Value>),
    /// Values with keys.
    Table(Vec<(&'static str, Value)>),
}

impl Value {
    /// How messages show it: like a configuration, but text without its quotes.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Secret(_) => SECRET.to_owned(),
            Value::Duration(duration) => duration.to_string(),
            Value::Address(address) => address.to_string(),
            Value::Endpoint(endpoint) => endpoint.to_string(),
            Value::List(values) => {
                format!("[{}]", values.iter().map(Value::plain).collect::<Vec<_>>().join(", "))
            }
            Value::Table(_) => self.masked().to_string(),
            Value::Flag(_) | Value::Number(_) => self.to_string(),
        }
    }

    /// The same without what is secret.
    fn masked(&self) -> Value {
        match self {
            Value::Secret(_) => Value::Text(SECRET.to_owned()),
            Value::List(values) => Value::List(values.iter().map(Value::masked).collect()),
            Value::Table(pairs) => {
                Value::Table(pairs.iter().map(|(key, value)| (*key, value.masked())).collect())
            }
            other => other.clone(),
        }
    }
}

/// What messages have in the place of what is secret.
const SECRET: &str = "(secret)";

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Flag(flag) => flag.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Text(text) | Value::Secret(text) => quoted(f, text),
            Value::Duration(_) | Value::Address(_) | Value::Endpoint(_) => quoted(f, &self.plain()),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Value::Table(pairs) if pairs.is_empty() => f.write_str("{}"),
            Value::Table(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                write!(f, "{{ {} }}", pairs.join(", "))
            }
        }
    }
}

/// TOML's form of text that fits into one line.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            c if c.is_control() => write!(f, "\\u{:04X}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// What values an option has.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A short word of the operator's.
    Name,
    /// Any text.
    Text,
    /// A line for people, which may be empty.
    Line,
    /// A word of a request: no spaces, nothing that could start another line.
    Token,
    /// The name of a network interface.
    Device,
    /// What a request asks an HTTP server for.
    UrlPath,
    /// A path from the root for a UNIX socket, or `none`.
    SocketPath,
    /// A path from the root of a directory.
    Directory,
    /// A path from the root of a file.
    FilePath,
    /// A domain name.
    Domain,
    /// A regular expression.
    Pattern,
    /// The digest of a page, as hexadecimal digits: 32 of MD5, or 64 of SHA-256.
    Digest,
    /// Bytes, written as text.
    Payload,
    /// Bytes, written as hexadecimal digits.
    Hexadecimal,
    /// A key of 16 bytes, written in the same way, which nobody needs to see.
    Key,
    /// What connection IDs of QUIC call a server: a few bytes, in the same way.
    QuicId,
    /// More than no time.
    Timeout,
    /// Any time, none included.
    Duration,
    /// The address of a host.
    Address,
    /// A network. As a value it is text.
    Network,
    /// The address and port of a server.
    Endpoint,
    /// An address of this host, of either family, and a port to listen on.
    Listen,
    /// HTTP status codes, and ranges of them.
    StatusCodes,
    /// A program and its arguments.
    Program,
    /// Ports and ranges of them, or `any`: one, or a list.
    Ports,
    /// Any number of values of one kind.
    List(&'static Kind),
    /// One value of a kind, or a list.
    Several(&'static Kind),
    /// A table with these options.
    Table(fn() -> Vec<&'static Field>),
    /// A list of such tables.
    Tables(fn() -> Vec<&'static Field>),
}

impl Kind {
    /// Numbers in that range.
    #[must_use]
    pub const fn number(least: u64, most: u64) -> Self {
        Kind::Number { least, most }
    }
}

/// Ports that a host can have.
pub const PORT: Kind = Kind::number(1, u16::MAX as u64);

/// What a change of an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing else: it takes effect at once.
    Live,
    /// It takes effect at once, and the connections that there are end.
    EndsConnections,
}

/// Who can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The configuration file. Commands have another way to say it, or none.
    File,
    /// Commands, by `add` and `set`. The file says the same in another way.
    Control,
    /// Both.
    Everywhere,
}

/// What is known of an option, whatever it is an option of.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key in a configuration.
    pub key: &'static str,
    /// What values it has.
    pub kind: Kind,
    /// What it is for. The first sentence is what the shell shows.
    pub help: &'static str,
    /// What to write for example.
    pub example: &'static str,
    /// It has to be given.
    pub is_required: bool,
    /// The option that says the same in another way, and may be given in its place.
    pub instead: Option<&'static str>,
    /// What the reference calls its default, where that is not simply a value.
    pub default: Option<&'static str>,
    /// What a change takes.
    pub effect: Effect,
    /// Who can say it.
    pub scope: Scope,
}

impl Field {
    /// An option that a file can have.
    #[must_use]
    pub const fn new(key: &'static str, kind: Kind, help: &'static str) -> Self {
        Field {
            key,
            kind,
            help,
            example: "",
            is_required: false,
            instead: None,
            default: None,
            effect: Effect::Live,
            scope: Scope::File,
        }
    }

    /// Whether a configuration file can have it.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        self.scope != Scope::Control
    }

    /// Whether commands can set it.
    #[must_use]
    pub fn is_settable(&self) -> bool {
        self.scope != Scope::File
    }
}

/// An option of a `P`.
pub struct Opt<P: 'static> {
    /// What is known of it.
    pub field: Field,
    /// Its value; nothing if it has none, or if another option says the same.
    pub get: fn(&P) -> Option<Value>,
    /// Takes a value of its kind. `false` if it is of another.
    pub set: fn(&mut P, &Value) -> bool,
    /// Takes its value away, if it can be without one: as if nobody had ever said it.
    pub unset: fn(&mut P),
}

impl<P> Opt<P> {
    /// An option that is read and written by functions.
    #[must_use]
    pub const fn new(
        key: &'static str,
        kind: Kind,
        help: &'static str,
        get: fn(&P) -> Option<Value>,
        set: fn(&mut P, &Value) -> bool,
    ) -> Self {
        Opt { field: Field::new(key, kind, help), get, set, unset: |_| {} }
    }

    /// The same, which may have no value.
    #[must_use]
    pub const fn may_be_unset(mut self, unset: fn(&mut P)) -> Self {
        self.unset = unset;
        self
    }

    /// The same, which has to be given, as in the example.
    #[must_use]
    pub const fn required(mut self, example: &'static str) -> Self {
        self.field.is_required = true;
        self.example(example)
    }

    /// The same, which has to be given unless the other option is.
    #[must_use]
    pub const fn required_or(mut self, other: &'static str, example: &'static str) -> Self {
        self.field.instead = Some(other);
        self.required(example)
    }

    /// The same with what to write for example.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.field.example = example;
        self
    }

    /// The same with another help.
    #[must_use]
    pub const fn help(mut self, text: &'static str) -> Self {
        self.field.help = text;
        self
    }

    /// The same with another default in the reference.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.field.default = Some(text);
        self
    }

    /// The same, whose change takes something.
    #[must_use]
    pub const fn effect(mut self, effect: Effect) -> Self {
        self.field.effect = effect;
        self
    }

    /// The same, said by somebody else.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.field.scope = scope;
        self
    }
}

/// What is known of each option of a table.
#[must_use]
pub fn fields<P>(options: &'static [Opt<P>]) -> Vec<&'static Field> {
    options.iter().map(|option| &option.field).collect()
}

/// The values of all options that a file has and that have one.
pub fn pairs<P>(options: &'static [Opt<P>], of: &P) -> impl Iterator<Item = (&'static str, Value)> {
    let in_file = options.iter().filter(|option| option.field.is_in_file());
    in_file.filter_map(|option| Some((option.field.key, (option.get)(of)?)))
}

/// The same as a table.
#[must_use]
pub fn to_table<P>(options: &'static [Opt<P>], of: &P) -> Value {
    Value::Table(pairs(options, of).collect())
}

/// Sets the options that a table has values for. `false` if one is of another kind.
#[must_use]
pub fn from_table<P>(options: &[Opt<P>], into: &mut P, value: &Value) -> bool {
    let Value::Table(pairs) = value else { return false };
    // In the order of the options, since the default of one may follow from another.
    options.iter().all(|option| {
        let given = pairs.iter().find(|(key, _)| *key == option.field.key);
        given.is_none_or(|(_, value)| (option.set)(into, value))
    })
}

/// A type whose values an option can have.
pub trait Setting: Sized {
    /// The value, if there is one.
    fn to_value(&self) -> Option<Value>;

    /// What the value means; nothing if it is of another kind.
    fn from_value(value: &Value) -> Option<Self>;

    /// Becomes what the value means. `false` if it is of another kind.
    #[must_use]
    fn assign(&mut self, value: &Value) -> bool {
        Self::from_value(value).map(|value| *self = value).is_some()
    }

    /// Becomes what it is where nothing is said, if that is no value. Any other default is a value, which is assigned.
    fn unset(&mut self) {}
}

/// An entry of the table of a type's options, within its `impl`: the option is the
/// field of that name, or the field behind the arrow.
#[macro_export]
macro_rules! option {
    ($field:ident, $kind:expr, $help:expr) => {
        $crate::option!(stringify!($field) => $field, $kind, $help)
    };
    ($key:expr => $($field:ident).+, $kind:expr, $help:expr) => {
        $crate::service::option::Opt::<Self>::new(
            $key,
            $kind,
            $help,
            |of| $crate::service::option::Setting::to_value(&of.$($field).+),
            |of, value| $crate::service::option::Setting::assign(&mut of.$($field).+, value),
        )
        .may_be_unset(|of| $crate::service::option::Setting::unset(&mut of.$($field).+))
    };
}

/// Lets an enumeration whose values have names be the value of an option.
#[macro_export]
macro_rules! words {
    ($($type:ty),+) => { $(
        impl $crate::service::option::Setting for $type {
            fn to_value(&self) -> Option<$crate::service::option::Value> {
                Some($crate::service::option::Value::Text(self.name().to_owned()))
            }

            fn from_value(value: &$crate::service::option::Value) -> Option<Self> {
                let $crate::service::option::Value::Text(word) = value else { return None };
                Self::ALL.iter().copied().find(|value| value.name() == word)
            }
        }
    )+ };
}

/// Lets a type be the value of an option that has a variant of its own.
macro_rules! setting {
    ($($type:ty: $variant:ident),+) => { $(
        impl Setting for $type {
            fn to_value(&self) -> Option<Value> {
                Some(Value::$variant(self.clone()))
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let Value::$variant(value) = value { Some(value.clone()) } else { None }
            }
        }
    )+ };
}

/// The same for numbers of any width.
macro_rules! numbers {
    ($($type:ty),+) => { $(
        impl Setting for $type {
            fn to_value(&self) -> Option<Value> {
                Some(Value::Number((*self).into()))
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Number(number) = value { (*number).try_into().ok() } else { None }
            }
        }
    )+ };
}

setting!(bool: Flag, String: Text, Duration: Duration, IpAddr: Address, SocketAddr: Endpoint);
numbers!(u8, u16, u32, u64);

impl Setting for IpNet {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { text.parse().ok() } else { None }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn to_value(&self) -> Option<Value> {
        self.as_ref().and_then(T::to_value)
    }

    fn from_value(value: &Value) -> Option<Self> {
        T::from_value(value).map(Some)
    }

    fn unset(&mut self) {
        *self = None;
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn to_value(&self) -> Option<Value> {
        Some(Value::List(self.iter().filter_map(T::to_value).collect()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::List(values) = value { values.iter().map(T::from_value).collect() } else { None }
    }
}
