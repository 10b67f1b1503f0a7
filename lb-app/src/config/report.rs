//! What is wrong with a configuration: every problem with its place, its key and a remedy.

use super::{invisible::is_invisible, place::Place};
use std::{cell::RefCell, fmt};

/// Columns of a source line that a report shows.
const EXCERPT: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line and column in the file, from 1; `None` if the file could not be read at all.
    pub(crate) position: Option<(usize, usize)>,
    /// Which key, as in `services[0].servers[1].weight`; empty if it is about no key.
    pub(crate) key: String,
    /// What is wrong, and what to do about it.
    pub(crate) complaint: Complaint,
    /// The source line and the marks below it; empty if there is nothing to show.
    pub(crate) excerpt: String,
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

/// Everything that is wrong with one file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Name of the file.
    pub(crate) file: String,
    /// The problems.
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// A file that could not be read.
    pub(super) fn unreadable(file: &str, complaint: Complaint) -> Self {
        let problem = Problem { position: None, key: String::new(), complaint, excerpt: String::new() };
        Report { file: file.to_owned(), problems: vec![problem] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            f.write_str(&self.file)?;
            if let Some((line, column)) = problem.position {
                write!(f, ":{line}:{column}")?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            let Complaint { what, remedy } = &problem.complaint;
            write!(f, ": {what}")?;
            if !remedy.is_empty() {
                write!(f, "; {remedy}")?;
            }
            writeln!(f)?;
            f.write_str(&problem.excerpt)?;
        }
        match self.problems.len() {
            1 => writeln!(f, "1 error, nothing was applied"),
            n => writeln!(f, "{n} errors, nothing was applied"),
        }
    }
}

impl std::error::Error for Report {}

/// The source text, and the problems found in it so far.
///
/// Collecting works through a shared reference, because the tables being read nest and all of them report here.
pub(super) struct Problems<'a> {
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// With the offset that they are sorted by.
    found: RefCell<Vec<(usize, Problem)>>,
}

impl<'a> Problems<'a> {
    /// No problems in `text` yet.
    pub(super) fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Problems { text, lines, found: RefCell::default() }
    }

    /// Adds a problem with what is at `place`.
    pub(super) fn add(&self, place: &Place, complaint: Complaint) {
        let start = place.span.start.min(self.text.len());
        let (line, column) = self.position(start);
        let excerpt = self.excerpt(place);
        let problem = Problem { position: Some((line, column)), key: place.key.clone(), complaint, excerpt };
        self.found.borrow_mut().push((start, problem));
    }

    /// The line of `place`, from 1, for messages that point to a second place.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.lines.partition_point(|&start| start <= place.span.start)
    }

    /// All problems by position, or nothing if there are none.
    pub(super) fn report(&self, file: &str) -> Option<Report> {
        let mut found = self.found.take();
        found.sort_by_key(|(start, _)| *start);
        let problems: Vec<Problem> = found.into_iter().map(|(_, problem)| problem).collect();
        (!problems.is_empty()).then(|| Report { file: file.to_owned(), problems })
    }

    /// Line and column, both from 1, the column in characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The line of `place` with marks under it.
    fn excerpt(&self, place: &Place) -> String {
        // The file as a whole has no line to show.
        if place.span == (0..0) {
            return String::new();
        }
        let (line, column) = self.position(place.span.start);
        let source = self.text[self.lines[line - 1]..].lines().next().unwrap_or_default();
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
