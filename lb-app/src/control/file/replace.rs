//! Replaces a file atomically: a reader sees the old file or the new one, complete.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes a file beside `path` by `write`, readable as `mode` says, and puts it in the place of the one at `path`.
///
/// # Errors
/// Of the file system, or what `write` returns; then the file at `path` is as it was.
pub(crate) fn replace<T, E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&File) -> Result<T, E>,
) -> Result<T, E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    let outcome = write(&file)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(outcome)
}
