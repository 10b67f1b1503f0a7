//! What is wrong with a configuration: every problem with its place, its key and a remedy.

use super::{invisible::is_invisible, place::Place};
use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
};

/// Columns of a source line that a report shows.
const EXCERPT: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Name of the file.
    pub(crate) file: String,
    /// Line and column in the file, from 1; `None` if the file could not be read at all.
    pub(crate) position: Option<(usize, usize)>,
    /// Which key, as in `services[0].servers[1].weight`; empty if it is about no key.
    pub(crate) key: String,
    /// What is wrong, and what to do about it.
    pub(crate) complaint: Complaint,
    /// The source line and the marks below it; empty if there is nothing to show.
    pub(crate) excerpt: String,
}

impl Problem {
    /// The place, what is wrong, and what to do about it.
    pub(crate) fn line(&self) -> String {
        let Problem { file, position, key, complaint: Complaint { what, remedy }, excerpt: _ } = self;
        let position = position.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        let key = if key.is_empty() { String::new() } else { format!(": {key}") };
        let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
        format!("{file}{position}{key}: {what}{remedy}")
    }
}

/// What is wrong with a value, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it, or what was expected.
    pub(crate) remedy: String,
}

impl Complaint {
    /// `what` is wrong, `remedy` helps.
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Complaint { what: what.into(), remedy: remedy.into() }
    }
}

/// Everything that is wrong with a configuration, in the order of its files and their lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The problems.
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// A file that could not be read.
    pub(super) fn unreadable(file: &str, complaint: Complaint) -> Self {
        let problem = Problem {
            file: file.to_owned(),
            position: None,
            key: String::new(),
            complaint,
            excerpt: String::new(),
        };
        Report { problems: vec![problem] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", problem.line())?;
            f.write_str(&problem.excerpt)?;
        }
        match self.problems.len() {
            1 => writeln!(f, "1 error, nothing was applied"),
            n => writeln!(f, "{n} errors, nothing was applied"),
        }
    }
}

impl std::error::Error for Report {}

/// The source texts, and the problems found in them so far.
///
/// Collecting works through a shared reference, because the tables being read nest and all of them report here.
pub(super) struct Problems {
    /// All files, one after the other.
    text: String,
    /// Where each line starts.
    lines: Vec<usize>,
    /// Where each file starts, and its name.
    files: Vec<(usize, String)>,
    /// With the offset that they are sorted by.
    found: RefCell<Vec<(usize, Problem)>>,
}

impl Problems {
    /// No problems yet in a text of files that start at these offsets and have these names.
    pub(super) fn new(text: String, files: Vec<(usize, String)>) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Problems { text, lines, files, found: RefCell::default() }
    }

    /// Adds a problem with what is at `place`.
    pub(super) fn add(&self, place: &Place, complaint: Complaint) {
        let start = place.span.start.min(self.text.len());
        let (file, line, column) = self.position(start);
        let excerpt = self.excerpt(place);
        let problem = Problem {
            file: file.to_owned(),
            position: Some((line, column)),
            key: place.key.clone(),
            complaint,
            excerpt,
        };
        self.found.borrow_mut().push((start, problem));
    }

    /// Whether there is a problem with something within what is at `place`.
    pub(super) fn is_within(&self, place: &Place) -> bool {
        let is_below = |key: &str| key.strip_prefix(&place.key).is_some_and(|rest| rest.starts_with('.'));
        self.found.borrow().iter().any(|(_, problem)| is_below(&problem.key))
    }

    /// The line of `place`, from 1, for messages that point to a second place; with its file if there are several.
    pub(super) fn line(&self, place: &Place) -> String {
        let (file, line, _) = self.position(place.span.start);
        if self.files.len() > 1 { format!("{line} of {file}") } else { line.to_string() }
    }

    /// All problems by position, or nothing if there are none.
    pub(super) fn report(&self) -> Option<Report> {
        let mut found = self.found.take();
        found.sort_by_key(|(start, _)| *start);
        let problems: Vec<Problem> = found.into_iter().map(|(_, problem)| problem).collect();
        (!problems.is_empty()).then_some(Report { problems })
    }

    /// File, line and column; these from 1, the column in characters.
    fn position(&self, offset: usize) -> (&str, usize, usize) {
        let line = self.line_of(offset);
        let before = self.text.get(self.lines[line]..offset).unwrap_or_default();
        let file = self.files.partition_point(|(start, _)| *start <= offset) - 1;
        let (start, name) = &self.files[file];
        (name, line - self.line_of(*start) + 1, before.chars().count() + 1)
    }

    /// The line that an offset is in, from 0, over all files.
    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset) - 1
    }

    /// The line of `place` with marks under it.
    fn excerpt(&self, place: &Place) -> String {
        // The file as a whole has no line to show.
        if place.span == (0..0) {
            return String::new();
        }
        let (_, line, column) = self.position(place.span.start);
        let source =
            self.text[self.lines[self.line_of(place.span.start)]..].lines().next().unwrap_or_default();
        let marked = self.text.get(place.span.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count().max(1);

        // A long line is cut around the marks, so that they stay visible.
        let skipped = if column > EXCERPT { column - EXCERPT / 2 } else { 0 };
        // Tabs would move the marks, other characters that nobody sees the terminal.
        let shown = source.chars().skip(skipped).take(EXCERPT);
        let shown: String = shown.map(|c| if is_invisible(c) { ' ' } else { c }).collect();
        let indent = column - 1 - skipped;
        let marks = "^".repeat(marked.min(EXCERPT.saturating_sub(indent)).max(1));
        format!("{line:>6} | {shown}\n       | {:indent$}{marks}\n", "")
    }
}

/// Reports every key that appears for the second time.
pub(super) fn once<'r, K: Eq + Hash>(
    seen: &mut HashMap<K, &'r Place>,
    key: K,
    place: &'r Place,
    problems: &Problems,
    complaint: impl Fn(String) -> Complaint,
) {
    match seen.entry(key) {
        Entry::Occupied(first) => problems.add(place, complaint(problems.line(first.get()))),
        Entry::Vacant(entry) => {
            entry.insert(place);
        }
    }
}
