//! `include`: other files that are part of a configuration, by name or by pattern, below the folder of the file that
//! includes them. They are read in the order in which they are named; those of one pattern are sorted by name.

use super::{
    place::Place,
    report::{Complaint, Problem, Report},
    source::{INCLUDE, Source, Sources},
    values,
};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Most files of one configuration.
const MAX_FILES: usize = 4_096;
/// How deep files include files.
const MAX_DEPTH: usize = 8;

/// Reads the file at `path` and all that it includes.
pub(super) fn read(path: &Path) -> Result<Sources, Report> {
    let text =
        read_text(path).map_err(|complaint| Report::unreadable(&path.display().to_string(), complaint))?;
    let mut found = Found {
        sources: Sources::new(path, text),
        known: HashMap::from([(identity(path), "the file that was named".to_owned())]),
        problems: Vec::new(),
    };
    found.follow(0, 0);
    if found.problems.is_empty() { Ok(found.sources) } else { Err(Report { problems: found.problems }) }
}

/// What was found so far.
struct Found {
    sources: Sources,
    /// By what a file really is: who included it.
    known: HashMap<PathBuf, String>,
    problems: Vec<Problem>,
}

impl Found {
    /// Reads what the file of that number includes.
    fn follow(&mut self, number: usize, depth: usize) {
        let source = self.sources.files()[number].clone();
        let problems = Sources::new(&*source.path, &*source.text).problems();
        // What is wrong with the document itself is reported when it is read for good.
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        if let Some(value) = document.get_ref().get(INCLUDE).filter(|_| errors.is_empty()) {
            for value in patterns(value) {
                let place = Place { span: value.span(), key: INCLUDE.to_owned() };
                let by = format!("{}:{}", source.path.display(), problems.line(&place));
                let folder = source.path.parent().unwrap_or(Path::new(""));
                let files = values::text(value.get_ref()).and_then(|pattern| expand(folder, &pattern));
                match files {
                    Ok(files) => files.iter().for_each(|file| {
                        if let Err(complaint) = self.add(file, &by, depth) {
                            problems.add(&place, complaint);
                        }
                    }),
                    Err(complaint) => problems.add(&place, complaint),
                }
            }
        }
        self.problems.extend(problems.report().into_iter().flat_map(|report| report.problems));
    }

    /// Adds a file, and what it includes itself.
    fn add(&mut self, path: &Path, by: &str, depth: usize) -> Result<(), Complaint> {
        let name = path.display();
        if depth >= MAX_DEPTH {
            let what = format!("{name} is included {} deep", depth + 1);
            return Err(Complaint::new(what, format!("use at most {MAX_DEPTH}")));
        }
        if self.sources.files().len() >= MAX_FILES {
            return Err(Complaint::new(
                format!("{name} is one file too many"),
                format!("use at most {MAX_FILES}"),
            ));
        }
        if let Some(before) = self.known.get(&identity(path)) {
            let what = format!("{name} is part of the configuration already ({before})");
            return Err(Complaint::new(what, "include each file once, and none from within itself"));
        }
        let text = read_text(path).map_err(|Complaint { what, remedy }| {
            Complaint::new(format!("{name} {what}"), format!("{remedy}, or remove it from `{INCLUDE}`"))
        })?;
        self.known.insert(identity(path), format!("included by {by}"));
        self.sources.push(Source { path: path.to_owned(), text });
        self.follow(self.sources.files().len() - 1, depth + 1);
        Ok(())
    }
}

/// What a file really is, whatever it is called.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn read_text(path: &Path) -> Result<String, Complaint> {
    let bytes = fs::read(path).map_err(|error| {
        Complaint::new(format!("cannot be read: {error}"), "name a configuration file that can be read")
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Complaint::new(format!("line {line} is not UTF-8 text"), "save the file as UTF-8")
    })
}

/// One text, or the elements of a list.
fn patterns<'v, 't>(value: &'v Spanned<DeValue<'t>>) -> Vec<&'v Spanned<DeValue<'t>>> {
    match value.get_ref() {
        DeValue::Array(array) => array.iter().collect(),
        _ => vec![value],
    }
}

/// The files that a pattern names.
pub(crate) fn expand(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, Complaint> {
    let path = folder.join(pattern);
    let is_pattern = |text: &str| text.contains(['*', '?']);
    let (head, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    if is_pattern(head) || last.is_empty() {
        let remedy = "only the last part can have * or ?, as in \"conf.d/*.toml\"";
        return Err(Complaint::new(format!("{pattern:?} is no name of a file"), remedy));
    }
    if !is_pattern(last) {
        return Ok(vec![path]);
    }
    let folder = path.parent().unwrap_or(folder);
    let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let unreadable = |error: std::io::Error| {
        Complaint::new(
            format!("the folder {} cannot be read: {error}", shown.display()),
            format!("create it, or remove it from `{INCLUDE}`"),
        )
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(shown).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if matches(last.as_bytes(), name.as_encoded_bytes()) && !shown.join(&name).is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// Whether a name is what a pattern says: `*` is any bytes and `?` is one. Hidden files are named as such.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at, mut star, mut rest) = (0, None, 0);
    let mut next = 0;
    while next < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                (star, rest) = (Some(at), next);
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[next] => (at, next) = (at + 1, next + 1),
            _ => {
                let Some(star) = star else { return false };
                rest += 1;
                (at, next) = (star + 1, rest);
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_shells() {
        let matches = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(matches("*.toml", "a.toml") && matches("*", "a") && matches("a*b*c", "a-b-b-c"));
        assert!(matches("?0-*.toml", "10-web.toml") && matches(".*", ".hidden") && matches("**", "x"));
        assert!(!matches("*.toml", "a.toml~") && !matches("*.toml", ".a.toml") && !matches("?", ""));
        assert!(!matches("a*b", "a-c") && !matches("", "a"));
    }
}
