//! Reading TOML tables key by key, collecting every problem instead of stopping at the first.
//!
//! This is done by hand over the document's tree, because serde stops at the first structural error.

use super::{
    place::{At, Field, Place},
    report::{Complaint, Problems},
    values::{self, Reading},
};
use lb_ctl::{foreign, near::nearest};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A table, and what has been asked of it.
pub(super) struct Table<'a> {
    /// Its header, or the inline table.
    pub(super) place: Place,
    entries: &'a DeTable<'a>,
    problems: &'a Problems,
    /// Keys that were asked for: all that may be there.
    known: Vec<&'static str>,
}

/// The tables of an array.
pub(super) struct Tables<'a> {
    /// Those that are tables.
    pub(super) readable: Vec<Table<'a>>,
    /// All elements are.
    pub(super) complete: bool,
}

impl<'a> Tables<'a> {
    /// Reads each table.
    pub(super) fn each<T>(self, read: impl Fn(Table<'a>) -> T) -> Vec<T> {
        self.readable.into_iter().map(read).collect()
    }
}

impl<'a> Table<'a> {
    /// The table `entries` at `place`.
    pub(super) fn new(place: Place, entries: &'a DeTable<'a>, problems: &'a Problems) -> Self {
        Table { place, entries, problems, known: Vec::new() }
    }

    /// There may be such a key, which somebody else reads.
    pub(super) fn know(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Reads an optional key.
    pub(super) fn read<T>(&mut self, key: &'static str, read: impl Fn(&DeValue) -> Reading<T>) -> Field<T> {
        let Some(value) = self.entry(key) else { return Field::Absent };
        read_at(self.place.below(key), value, self.problems, read).map_or(Field::Bad, Field::Given)
    }

    /// Reads a key that must be there; `example` is what to write if it is not.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue) -> Reading<T>,
    ) -> Option<At<T>> {
        match self.read(key, read) {
            Field::Given(at) => Some(at),
            Field::Bad => None,
            Field::Absent => {
                self.missing(key, example);
                None
            }
        }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Reports that `key` is missing.
    pub(super) fn missing(&self, key: &str, example: &str) {
        self.problems.add(&self.place.below(key), missing(key, example));
    }

    /// Reports a problem of this table's.
    pub(super) fn complain(&self, place: &Place, complaint: Complaint) {
        self.problems.add(place, complaint);
    }

    /// Reads an array, element by element. An element that cannot be read is `None`.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue) -> Reading<T>,
    ) -> Field<Vec<Option<At<T>>>> {
        let Some(value) = self.entry(key) else { return Field::Absent };
        let place = spanned(self.place.below(key), value);
        let DeValue::Array(array) = value.get_ref() else {
            let complaint =
                values::wrong_type(value.get_ref(), "a list", &format!("write `{key} = {example}`"));
            self.problems.add(&place, complaint);
            return Field::Bad;
        };
        let elements = array.iter().enumerate();
        let value = elements
            .map(|(index, value)| read_at(indexed(&place, index), value, self.problems, &read))
            .collect();
        Field::Given(At { value, place })
    }

    /// Reads an array with at most `most` elements. It is bad if an element is.
    pub(super) fn list_of_most<T>(
        &mut self,
        key: &'static str,
        example: &str,
        most: usize,
        read: impl Fn(&DeValue) -> Reading<T>,
    ) -> Field<Vec<At<T>>> {
        match self.list(key, example, read) {
            Field::Given(At { value, place }) if value.len() > most => {
                let what = format!("has {} elements", value.len());
                self.problems.add(&place, Complaint::new(what, format!("use at most {most}")));
                Field::Bad
            }
            Field::Given(At { value, place }) => {
                let value: Option<Vec<At<T>>> = value.into_iter().collect();
                value.map_or(Field::Bad, |value| Field::Given(At { value, place }))
            }
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
        }
    }

    /// Reads an array that must be there, with 1 to `most` elements. `None` if it or an element cannot be read.
    pub(super) fn require_list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        most: usize,
        read: impl Fn(&DeValue) -> Reading<T>,
    ) -> Option<Vec<At<T>>> {
        match self.list_of_most(key, example, most, read) {
            Field::Given(At { value, place }) if value.is_empty() => {
                self.problems.add(&place, empty_list(key, example));
                None
            }
            Field::Given(At { value, .. }) => Some(value),
            Field::Bad => None,
            Field::Absent => {
                self.missing(key, example);
                None
            }
        }
    }

    /// The table below `key`, if there is one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        let value = self.entry(key)?;
        let place = spanned(self.place.below(key), value);
        if let DeValue::Table(entries) = value.get_ref() {
            return Some(Table::new(place, entries, self.problems));
        }
        let remedy = format!("write `[{}]`", header(&place));
        self.problems.add(&place, values::wrong_type(value.get_ref(), "a table", &remedy));
        None
    }

    /// The tables in the array below `key`; none if there is no such key.
    pub(super) fn tables(&mut self, key: &'static str) -> Tables<'a> {
        let mut tables = Tables { readable: Vec::new(), complete: true };
        let Some(value) = self.entry(key) else { return tables };
        let place = spanned(self.place.below(key), value);
        let remedy = format!("write `[[{}]]` above each one", header(&place));
        let DeValue::Array(array) = value.get_ref() else {
            self.problems.add(&place, values::wrong_type(value.get_ref(), "a list of tables", &remedy));
            tables.complete = false;
            return tables;
        };
        for (index, value) in array.iter().enumerate() {
            let place = spanned(indexed(&place, index), value);
            if let DeValue::Table(entries) = value.get_ref() {
                tables.readable.push(Table::new(place, entries, self.problems));
            } else {
                self.problems.add(&place, values::wrong_type(value.get_ref(), "a table", &remedy));
                tables.complete = false;
            }
        }
        tables
    }

    /// Reports every key that nobody asked for, and gives back the table's place.
    pub(super) fn finish(self) -> Place {
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                let remedy = match (foreign::key(name), nearest(name, &self.known)) {
                    (Some(remedy), _) => remedy,
                    (None, Some(known)) => format!("did you mean `{known}`?"),
                    (None, None) => format!("known here: {}", self.known.join(", ")),
                };
                let place = Place { span: key.span(), ..self.place.below(name) };
                self.problems.add(&place, Complaint::new("unknown key", remedy));
            }
        }
        self.place
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.entries.get(key)
    }
}

/// A key is missing.
pub(super) fn missing(key: &str, example: &str) -> Complaint {
    Complaint::new("is missing", format!("add for example `{key} = {example}`"))
}

/// A list has nothing.
pub(super) fn empty_list(key: &str, example: &str) -> Complaint {
    Complaint::new("is empty", format!("write for example `{key} = {example}`"))
}

/// Reads one value and reports what is wrong with it.
fn read_at<T>(
    place: Place,
    value: &Spanned<DeValue>,
    problems: &Problems,
    read: impl Fn(&DeValue) -> Reading<T>,
) -> Option<At<T>> {
    let place = spanned(place, value);
    match read(value.get_ref()) {
        Ok(value) => Some(At { value, place }),
        Err(complaint) => {
            problems.add(&place, complaint);
            None
        }
    }
}

fn spanned(place: Place, value: &Spanned<DeValue>) -> Place {
    Place { span: value.span(), ..place }
}

/// How the header of a table at `place` is written: that of `services[3].timeouts` is `services.timeouts`.
fn header(place: &Place) -> String {
    place.key.split(['[', ']']).step_by(2).collect()
}

fn indexed(place: &Place, index: usize) -> Place {
    Place { span: place.span.clone(), key: format!("{}[{index}]", place.key) }
}
