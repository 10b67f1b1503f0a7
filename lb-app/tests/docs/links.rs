//! Links between pages, and files that are named.

use crate::pages::{Page, pages, root};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Extensions of files that are ours when a code span names them with their directory.
const OURS: [&str; 10] = ["rs", "toml", "md", "txt", "json", "yml", "service", "c", "h", "sh"];

#[test]
fn links_resolve() {
    for page in pages() {
        for (number, line) in page.prose() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.starts_with("https://") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let folder = page.path.parent().expect("a page has a directory");
                let path =
                    if file.is_empty() { root().join(&page.path) } else { root().join(folder).join(file) };
                let place = format!("{}:{number}: {target}", page.path.display());
                assert!(path.exists(), "{place} does not exist");
                if !anchor.is_empty() {
                    assert!(anchors(&path).contains(anchor), "{place}: no such heading");
                }
            }
        }
    }
}

/// The anchors of a page's headings, as forges make them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let page = Page::read(path);
    let prose = page.prose();
    let headings = prose.iter().filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' '));
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn anchors_are_those_of_forges() {
    assert_eq!(anchor("What is wrong with the host: `--doctor`"), "what-is-wrong-with-the-host---doctor");
    assert_eq!(anchor("On NICs, that DPDK takes_over"), "on-nics-that-dpdk-takes_over");
}

#[test]
fn named_files_exist() {
    let files = files();
    for page in pages() {
        for (place, span) in page.spans() {
            if is_file(span) {
                let folder = page.path.parent().expect("a page has a directory");
                // In the text about one crate, paths are within that crate.
                let exists = root().join(span).exists()
                    || root().join(folder).join(span).exists()
                    || files.iter().any(|file| file.ends_with(span));
                assert!(exists, "{place}: {span} does not exist");
            }
        }
    }
}

/// Whether a code span names one of our files: with its directory, or a Rust file without.
fn is_file(span: &str) -> bool {
    let is_path = span.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'));
    let extension = Path::new(span).extension().and_then(|extension| extension.to_str());
    is_path
        && !span.starts_with(['/', '.'])
        && !span.starts_with("target/")
        && extension.is_some_and(|extension| OURS.contains(&extension))
        && (span.contains('/') || extension == Some("rs"))
}

/// Every file of the repository, from its root.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            let is_folder = entry.file_type().expect("a type").is_dir();
            if !is_folder {
                files.push(path);
            } else if path != Path::new("target") && path != Path::new(".git") {
                folders.push(path);
            }
        }
    }
    files
}
