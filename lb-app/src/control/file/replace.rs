//! Replaces a file atomically: a reader sees the old file or the new one, complete.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes a file beside `path` by `write`, readable as `mode` says, and puts it in the place of the one at `path`. A link
/// stays a link.
///
/// # Errors
/// Of the file system, or what `write` returns; then the file at `path` is as it was, and nothing is left beside it.
pub(crate) fn replace<T, E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&File) -> Result<T, E>,
) -> Result<T, E> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    let outcome = write(&file).and_then(|outcome| {
        file.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(outcome)
    });
    if outcome.is_err() {
        // Half a file is no good to anybody, least of all on a full disk.
        let _ = fs::remove_file(&new);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::fs::symlink, path::PathBuf};

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("lb-replace-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let directory = directory("full");
        let path = directory.join("state");
        fs::write(&path, "old").expect("a file");
        let outcome: io::Result<()> = replace(&path, 0o600, |mut file| {
            file.write_all(b"half of it")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(
            (names(&directory), fs::read_to_string(&path).unwrap()),
            (vec!["state".into()], "old".into())
        );
        // What is written cannot be put in its place.
        let taken = directory.join("taken");
        fs::create_dir(&taken).expect("a directory");
        assert!(replace(&taken, 0o600, |mut file| file.write_all(b"all of it")).is_err());
        assert_eq!(names(&directory), ["state", "taken"]);
        fs::remove_dir_all(directory).expect("it was there");
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = directory("link");
        let (file, link) = (directory.join("file"), directory.join("link"));
        fs::write(&file, "old").expect("a file");
        symlink("file", &link).expect("a link");
        let outcome: io::Result<()> = replace(&link, 0o600, |mut file| file.write_all(b"new"));
        outcome.expect("written");
        assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("a file"), "new");
        fs::remove_dir_all(directory).expect("it was there");
    }
}
