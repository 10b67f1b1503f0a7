//! Small files of `/proc` and `/sys`.

use std::path::Path;

/// A file's text without blanks around it.
pub(super) fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned())
}

/// A file's number.
pub(super) fn number(root: &Path, path: &str) -> Option<u64> {
    read(root, path)?.parse().ok()
}

/// The names in a directory, in order.
pub(super) fn names(root: &Path, path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(path)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
