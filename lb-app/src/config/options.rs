//! Reading options out of tables: what each kind of value looks like in a file, and what a table says of a type's options.

use super::{
    check_values as check,
    place::{At, Field, Place},
    report::Complaint,
    table::{self, Table},
    values::{self, Reading},
};
use lb_core::service::option::{self, Kind, Opt, Value};
use std::collections::BTreeMap;
use toml::de::DeValue;

/// Most words of a program and its arguments.
const MAX_WORDS: usize = 64;
/// Most tables in a list of them.
pub(crate) const MAX_TABLES: usize = 16;

/// What a table said of the options of something, beside what it means: where.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(BTreeMap<&'static str, Saying>);

/// What became of one key.
#[derive(Clone, Debug)]
enum Saying {
    /// It was given and is good. A list's good elements have their own places.
    Given { place: Place, elements: Vec<At<Value>> },
    /// It means nothing, or is missing; that has been reported.
    Bad,
}

impl Said {
    /// Where a key was given, if it was and is good.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        match self.0.get(key)? {
            Saying::Given { place, .. } => Some(place),
            Saying::Bad => None,
        }
    }

    /// The good elements of a list.
    pub(super) fn elements(&self, key: &str) -> &[At<Value>] {
        match self.0.get(key) {
            Some(Saying::Given { elements, .. }) => elements,
            Some(Saying::Bad) | None => &[],
        }
    }

    /// The option's value, be it the default, unless nobody knows it because what was said means nothing.
    ///
    /// Checks that involve a bad value are skipped, because a second message about it would only distract.
    pub(super) fn known<T>(&self, key: &str, value: T) -> Option<T> {
        let is_bad = matches!(self.0.get(key), Some(Saying::Bad));
        (!is_bad).then_some(value)
    }

    /// The value with its place, if it was given and is good.
    pub(super) fn at<T>(&self, key: &str, value: T) -> Option<At<T>> {
        Some(At { value, place: self.place(key)?.clone() })
    }
}

/// Reads all options that a file can have, in their order. What is bad or missing is reported, and left as it was.
pub(super) fn read<P>(table: &mut Table, options: &'static [Opt<P>], into: &mut P) -> Said {
    let mut said = Said::default();
    for option in options.iter().filter(|option| option.field.is_in_file()) {
        let field = &option.field;
        let saying = match read_field(table, field) {
            Field::Given(At { value: (value, elements), place }) => {
                let is_of_its_kind = (option.set)(into, &value);
                debug_assert!(is_of_its_kind, "{}: {value:?}", field.key);
                if let Some(other) = field.instead.filter(|other| said.place(other).is_some()) {
                    let what = format!("`{other}` is set already");
                    table.complain(&place, Complaint::new(what, "remove one of the two"));
                }
                Saying::Given { place, elements }
            }
            Field::Absent if field.instead.is_some_and(|other| table.has(other)) => continue,
            // Of two that say the same, the first is asked for.
            Field::Absent if field.instead.is_some_and(|other| said.0.contains_key(other)) => Saying::Bad,
            Field::Absent if field.is_required => {
                table.missing(field.key, field.example);
                Saying::Bad
            }
            Field::Absent => continue,
            Field::Bad => Saying::Bad,
        };
        said.0.insert(field.key, saying);
    }
    said
}

/// A value, and the elements if it is a list.
type Parts = (Value, Vec<At<Value>>);

fn read_field(table: &mut Table, field: &'static option::Field) -> Field<Parts> {
    let key = field.key;
    match field.kind {
        Kind::Table(fields) => table.table(key).map_or(Field::Absent, |inner| {
            let At { value, place } = read_inner(inner, &fields());
            Field::Given(At { value: (value, Vec::new()), place })
        }),
        Kind::Tables(fields) => read_tables(table, field, &fields()),
        Kind::List(kind) => table.list(key, field.example, |value| read_value(kind, value)).map(|elements| {
            let elements: Vec<At<Value>> = elements.into_iter().flatten().collect();
            (Value::List(elements.iter().map(|at| at.value.clone()).collect()), elements)
        }),
        Kind::Program => {
            match table.list(key, field.example, |value| values::argument(value).map(Value::Text)) {
                Field::Given(list) if list.value.is_empty() || list.value.len() > MAX_WORDS => {
                    let remedy =
                        format!("write the program and its arguments, as in `{key} = {}`", field.example);
                    table.complain(&list.place, Complaint::new("is empty or has too many words", remedy));
                    Field::Bad
                }
                Field::Given(At { value, place }) => {
                    let words: Option<Vec<Value>> =
                        value.into_iter().map(|word| word.map(|at| at.value)).collect();
                    words.map_or(Field::Bad, |words| {
                        Field::Given(At { value: (Value::List(words), Vec::new()), place })
                    })
                }
                Field::Absent => Field::Absent,
                Field::Bad => Field::Bad,
            }
        }
        kind => table.read(key, |value| read_value(&kind, value)).map(|value| (value, Vec::new())),
    }
}

/// Reads a table within another. What of it is bad has been reported, and is left out.
fn read_inner(mut table: Table, fields: &[&'static option::Field]) -> At<Value> {
    let values = fields.iter().filter_map(|field| match read_field(&mut table, field) {
        Field::Given(At { value: (value, _), .. }) => Some((field.key, value)),
        Field::Absent | Field::Bad => None,
    });
    let value = Value::Table(values.collect());
    At { value, place: table.finish() }
}

/// Reads a list of tables.
fn read_tables(
    table: &mut Table,
    field: &'static option::Field,
    fields: &[&'static option::Field],
) -> Field<Parts> {
    let (key, place) = (field.key, table.place.below(field.key));
    let is_there = table.has(key);
    let tables = table.tables(key);
    if !is_there {
        return Field::Absent;
    }
    let is_whole = tables.complete;
    let elements = tables.each(|inner| read_inner(inner, fields));
    let complaint = match elements.len() {
        _ if !is_whole => return Field::Bad,
        0 => table::empty_list(key, field.example),
        1..=MAX_TABLES => {
            let value = Value::List(elements.iter().map(|at| at.value.clone()).collect());
            return Field::Given(At { value: (value, elements), place });
        }
        many => Complaint::new(format!("has {many} elements"), format!("use at most {MAX_TABLES}")),
    };
    table.complain(&place, complaint);
    Field::Bad
}

/// Reads a value that is neither a list nor a table.
fn read_value(kind: &Kind, value: &DeValue) -> Reading<Value> {
    match *kind {
        Kind::Flag => values::boolean(value).map(Value::Flag),
        Kind::Number { least, most } => values::number(least..=most)(value).map(Value::Number),
        Kind::Word(words) => values::word(words, |word| word)(value).map(|word| Value::Text(word.to_owned())),
        Kind::Name => values::name(value).map(Value::Text),
        Kind::Text => values::text(value).map(Value::Text),
        Kind::Line => values::line(value).map(Value::Text),
        Kind::Token => check::token(value).map(Value::Text),
        Kind::Device => check::device(value).map(Value::Text),
        Kind::UrlPath => check::path(value).map(Value::Text),
        Kind::SocketPath => values::socket(value).map(Value::Text),
        Kind::Directory => values::directory(value).map(Value::Text),
        Kind::FilePath => check::file(value).map(Value::Text),
        Kind::Domain => check::domain(value).map(Value::Text),
        Kind::Pattern => check::pattern(value).map(Value::Text),
        Kind::Digest => check::digest(value).map(Value::Text),
        Kind::Payload => check::payload(value).map(Value::Text),
        Kind::Hexadecimal => check::hexadecimal(value).map(Value::Text),
        Kind::Key => check::key(value).map(Value::Secret),
        Kind::QuicId => check::quic_id(value).map(Value::Text),
        Kind::Timeout => values::timeout(value).map(Value::Duration),
        Kind::Duration => values::duration(value).map(Value::Duration),
        Kind::Address => values::host(value).map(Value::Address),
        Kind::Network => values::network(value).map(|network| Value::Text(network.to_string())),
        Kind::Listen => values::listen(value).map(Value::Endpoint),
        Kind::Endpoint => check::endpoint(value).map(Value::Endpoint),
        Kind::StatusCodes => check::codes(value),
        Kind::Ports => values::ports(value),
        Kind::Several(kind) => match value {
            DeValue::Array(values) if values.is_empty() => {
                Err(Complaint::new("is empty", "write one value, or a list of them"))
            }
            DeValue::Array(values) => {
                let values = values.iter().map(|value| read_value(kind, value.get_ref()));
                values.collect::<Reading<_>>().map(Value::List)
            }
            value => read_value(kind, value),
        },
        Kind::Program | Kind::List(_) | Kind::Table(_) | Kind::Tables(_) => {
            Err(values::wrong_type(value, "a single value", "write one"))
        }
    }
}

/// Whether a text stands for a list without elements: none, or the words that say so. `all` is for whom or what something
/// is where nothing narrows it down. A port or interface with such a name is meant in a file only.
fn is_empty_list(of: &Kind, text: &str) -> bool {
    match text.trim() {
        "" | "none" => true,
        "all" => matches!(of, Kind::Network | Kind::Name),
        _ => false,
    }
}

/// Reads a value that did not come with a file; `text` is how one would have it. A list may be text as well, with commas
/// between its elements.
pub(crate) fn read_text(kind: &Kind, text: &str) -> Reading<Value> {
    let value =
        DeValue::parse(text).map_err(|_| Complaint::new(format!("{text} is no value"), "write one"))?;
    match (kind, value.get_ref()) {
        (Kind::List(kind), DeValue::Array(values)) => {
            let values = values.iter().map(|value| read_value(kind, value.get_ref()));
            values.collect::<Reading<_>>().map(Value::List)
        }
        (Kind::List(kind), DeValue::String(words)) if is_empty_list(kind, words) => {
            Ok(Value::List(Vec::new()))
        }
        (Kind::List(kind), DeValue::String(words)) => {
            let words = words.split(',').map(|word| DeValue::String(word.trim().into()));
            words.map(|word| read_value(kind, &word)).collect::<Reading<_>>().map(Value::List)
        }
        (Kind::Several(kind), DeValue::String(words)) if words.contains(',') => {
            let words = words.split(',').map(|word| DeValue::String(word.trim().into()));
            words.map(|word| read_value(kind, &word)).collect::<Reading<_>>().map(Value::List)
        }
        (kind, value) => read_value(kind, value),
    }
}
