//! The texts that a configuration is made of: the file that was named, and those that it includes.
//!
//! Together they are one text, one after the other, so that a place is a range of bytes whichever file it is in. Their
//! tables become those of one document: lists of tables are joined in the order of the files, and any other table is in
//! one file only.

use super::{
    place::Place,
    report::{Complaint, Problems},
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The key that names files to include.
pub(super) const INCLUDE: &str = "include";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: String,
}

/// All of them: the one that was named, then those that are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// A file that includes none, or whose includes are not known yet.
    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Sources(vec![Source { path: path.into(), text: text.into() }])
    }

    /// The files, with the one that was named first.
    pub(crate) fn files(&self) -> &[Source] {
        &self.0
    }

    /// The same, to be changed.
    pub(crate) fn files_mut(&mut self) -> &mut [Source] {
        &mut self.0
    }

    /// Those that are included.
    pub(super) fn included(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().skip(1).map(|source| source.path.as_path())
    }

    /// One more file that is included.
    pub(crate) fn push(&mut self, source: Source) {
        self.0.push(source);
    }

    /// SHA-256 of the files one after the other, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        sha256(self.0.iter().map(|source| source.text.as_str()))
    }

    /// No problems in them yet.
    pub(super) fn problems(&self) -> Problems {
        let whole = self.0.iter().map(|source| source.text.as_str()).collect::<Vec<_>>().join(GAP);
        Problems::new(whole, self.starts())
    }

    /// Where each file begins in the whole text, and its name.
    fn starts(&self) -> Vec<(usize, String)> {
        let mut at = 0;
        let starts = self.0.iter().map(|source| {
            let start = at;
            at += source.text.len() + GAP.len();
            (start, source.path.display().to_string())
        });
        starts.collect()
    }

    /// The document that they are together; none if one is not TOML, which is reported.
    pub(super) fn document(&self, problems: &Problems) -> Option<DeTable<'_>> {
        let mut whole = DeTable::new();
        let mut is_sound = true;
        for (index, (source, (start, _))) in self.0.iter().zip(self.starts()).enumerate() {
            let (document, errors) = DeTable::parse_recoverable(&source.text);
            // What is recovered from broken syntax is not reliable.
            is_sound &= errors.is_empty();
            for error in errors {
                let span = shifted(error.span().unwrap_or_default(), start);
                let complaint = Complaint::new(format!("not valid TOML: {}", error.message()), "");
                problems.add(&Place { span, key: String::new() }, complaint);
            }
            for (key, value) in document.into_inner() {
                // What an included file includes is there already.
                if index == 0 || key.get_ref() != INCLUDE {
                    let key = Spanned::new(shifted(key.span(), start), key.into_inner());
                    join(&mut whole, key, moved(value, start), problems);
                }
            }
        }
        is_sound.then_some(whole)
    }
}

/// What stands between two files, so that the last line of one ends.
const GAP: &str = "\n";

/// Adds what a file says of a key to what those before it say.
fn join<'t>(
    whole: &mut DeTable<'t>,
    key: Spanned<std::borrow::Cow<'t, str>>,
    value: Spanned<DeValue<'t>>,
    problems: &Problems,
) {
    let name = key.get_ref().to_string();
    let Some((first, before)) = whole.get_key_value(name.as_str()) else {
        whole.insert(key, value);
        return;
    };
    if let (DeValue::Array(_), DeValue::Array(_)) = (before.get_ref(), value.get_ref()) {
        if let (Some(before), DeValue::Array(more)) = (whole.get_mut(name.as_str()), value.into_inner())
            && let DeValue::Array(before) = before.get_mut()
        {
            more.into_iter().for_each(|element| before.push(element));
        }
        return;
    }
    let line = problems.line(&Place { span: first.span(), key: String::new() });
    let place = Place { span: key.span(), key: name.clone() };
    let what = format!("another file has `{name}` already (line {line})");
    problems.add(&place, Complaint::new(what, "keep it in one file; only lists of tables can be in several"));
}

/// The same value with all of its places moved.
fn moved(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    if by == 0 {
        return value;
    }
    let span = shifted(value.span(), by);
    let value = match value.into_inner() {
        DeValue::Array(array) => {
            let mut moved_array = toml::de::DeArray::new();
            array.into_iter().for_each(|element| moved_array.push(moved(element, by)));
            DeValue::Array(moved_array)
        }
        DeValue::Table(table) => {
            let pairs = table.into_iter();
            let pairs = pairs.map(|(key, value)| {
                (Spanned::new(shifted(key.span(), by), key.into_inner()), moved(value, by))
            });
            DeValue::Table(pairs.collect())
        }
        value => value,
    };
    Spanned::new(span, value)
}

fn shifted(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

/// SHA-256, as `sha256sum` prints it: with what TLS brings along.
pub(super) fn sha256<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().map(|suite| {
        let mut hash = suite.common.hash_provider.start();
        texts.for_each(|text| hash.update(text.as_bytes()));
        hash.finish()
    });
    hash.map(|hash| hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}
