//! The pages, and what is on them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A Markdown file.
pub(crate) struct Page {
    /// From the repository's root.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Fence {
    /// Page and line, for messages.
    pub(crate) place: String,
    pub(crate) info: String,
    pub(crate) lines: Vec<String>,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("lb-app is in the repository").to_path_buf()
}

/// All pages: those at the root, and those of the directories with documentation.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    for directory in ["", "docs", "conf", "docker", "perf"] {
        for entry in fs::read_dir(root().join(directory)).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            let path = Path::new(directory).join(name);
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(Page::read(path));
            }
        }
    }
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(pages.len() > 20, "{} pages", pages.len());
    pages
}

impl Page {
    /// The page at a path from the root.
    pub(crate) fn read(path: impl Into<PathBuf>) -> Page {
        let path = path.into();
        let text = fs::read_to_string(root().join(&path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page { path, text }
    }

    /// Its fenced blocks.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        let mut fences: Vec<Fence> = Vec::new();
        let mut is_open = false;
        for (number, line) in (1..).zip(self.text.lines()) {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                if !is_open {
                    let place = format!("{}:{number}", self.path.display());
                    fences.push(Fence { place, info: info.to_owned(), lines: Vec::new() });
                }
                is_open = !is_open;
            } else if is_open {
                fences.last_mut().expect("one is open").lines.push(line.to_owned());
            }
        }
        assert!(!is_open, "{}: a fence is not closed", self.path.display());
        fences
    }

    /// Its lines outside of fences, with their numbers.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_open = false;
        let mut prose = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            if line.trim_start().starts_with("```") {
                is_open = !is_open;
            } else if !is_open {
                prose.push((number, line));
            }
        }
        prose
    }

    /// Its code spans, with their places.
    pub(crate) fn spans(&self) -> Vec<(String, &str)> {
        let spans = |line| str::split(line, '`').skip(1).step_by(2);
        let prose = self.prose().into_iter();
        prose
            .flat_map(|(number, line)| {
                spans(line).map(move |span| (format!("{}:{number}", self.path.display()), span))
            })
            .collect()
    }
}
