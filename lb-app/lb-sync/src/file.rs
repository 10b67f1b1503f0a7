//! The file: a text is put beside it, validated there, and takes its place in one step. A reader sees the old one or the
//! new one, complete; one with mistakes never gets there.

use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// How long validating may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a report that are kept.
const REPORT: usize = 4_096;

/// The file, and who validates it.
pub(crate) struct Target {
    path: PathBuf,
    check: PathBuf,
    /// The last text that had mistakes, and which.
    refused: Option<(Vec<u8>, String)>,
}

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The file has it, now or since before.
    Current,
    /// It has these mistakes; the file is as it was.
    Refused(String),
}

impl Target {
    pub(crate) fn new(path: &Path, check: &Path) -> Self {
        Self { path: path.to_owned(), check: check.to_owned(), refused: None }
    }

    /// Has the file say this, if it is sound. What had mistakes before is not validated again.
    ///
    /// # Errors
    /// When it cannot be written or validated; the file is as it was.
    pub(crate) async fn put(&mut self, text: &[u8]) -> Result<Outcome> {
        if fs::read(&self.path).is_ok_and(|present| present == text) {
            self.refused = None;
            return Ok(Outcome::Current);
        }
        if let Some((_, report)) = self.refused.as_ref().filter(|(refused, _)| refused == text) {
            return Ok(Outcome::Refused(report.clone()));
        }
        // A link stays a link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        // In the same folder, so that `include` finds what it will find; hidden, so that no pattern there finds it.
        let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
        let new = path.with_file_name(format!(".{}.lb-sync", name.to_string_lossy()));
        let outcome = self.replace(&path, &new, text).await;
        if !matches!(outcome, Ok(Outcome::Current)) {
            let _ = fs::remove_file(&new);
        }
        if let Ok(Outcome::Refused(report)) = &outcome {
            self.refused = Some((text.to_vec(), report.clone()));
        }
        outcome
    }

    async fn replace(&self, path: &Path, new: &Path, text: &[u8]) -> Result<Outcome> {
        write(new, text, path).with_context(|| format!("cannot write {}", new.display()))?;
        if let Some(report) = self.mistakes(new).await? {
            // Nobody will find that file.
            return Ok(Outcome::Refused(
                report.replace(&new.display().to_string(), &path.display().to_string()),
            ));
        }
        let moved = fs::rename(new, path)
            .and_then(|()| File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all());
        moved.with_context(|| format!("cannot replace {}", path.display()))?;
        Ok(Outcome::Current)
    }

    /// What is wrong with a file, if anything is.
    async fn mistakes(&self, file: &Path) -> Result<Option<String>> {
        let mut command = Command::new(&self.check);
        command.args(["--", "--check", "--conf"]).arg(file).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(LIMIT, command.output()).await;
        let Ok(output) = output else { bail!("{} does not end", self.check.display()) };
        let output = output.with_context(|| format!("cannot run {}", self.check.display()))?;
        let mut report = String::from_utf8_lossy(&output.stderr).into_owned();
        while report.len() > REPORT {
            report.pop();
        }
        match output.status.code() {
            Some(0) => Ok(None),
            Some(1) => Ok(Some(report)),
            _ => bail!("{}: {}: {}", self.check.display(), output.status, report.trim()),
        }
    }
}

/// Writes a file that whoever can read `like` can read.
fn write(path: &Path, text: &[u8], like: &Path) -> io::Result<()> {
    let old = fs::metadata(like).ok();
    let mode = old.as_ref().map_or(0o644, |old| old.permissions().mode() & 0o777);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    if let Some(old) = old {
        // Who may not give files away has files of its own only.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with something that validates: whatever has "bad" in it has a mistake.
    fn folder(name: &str) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("lb-sync-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let check = folder.join("check");
        let script = "#!/bin/sh\nif grep -q broken \"$4\"; then exit 7; fi\n\
                      if grep -q bad \"$4\"; then echo \"$4:1:1: bad\" >&2; exit 1; fi\n";
        fs::write(&check, script).expect("a file");
        fs::set_permissions(&check, fs::Permissions::from_mode(0o755)).expect("its mode");
        (folder, check)
    }

    fn put(target: &mut Target, text: &str) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(target.put(text.as_bytes()))
    }

    #[test]
    fn what_is_sound_takes_the_place_of_the_file() {
        let (folder, check) = folder("sound");
        let path = folder.join("lb.toml");
        let mut target = Target::new(&path, &check);
        assert_eq!(put(&mut target, "one").unwrap(), Outcome::Current);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its mode");
        assert_eq!(put(&mut target, "two").unwrap(), Outcome::Current);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // Tests need root, which may give files away.
        std::os::unix::fs::chown(&path, Some(12), Some(34)).expect("another owner");
        assert_eq!(put(&mut target, "again").unwrap(), Outcome::Current);
        let owner = fs::metadata(&path).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (12, 34));
        assert_eq!(put(&mut target, "two").unwrap(), Outcome::Current);
        // What somebody writes into it is undone.
        fs::write(&path, "three").expect("a file");
        assert_eq!(put(&mut target, "two").unwrap(), Outcome::Current);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn what_has_mistakes_leaves_it_alone_and_nothing_behind() {
        let (folder, check) = folder("bad");
        let path = folder.join("lb.toml");
        let mut target = Target::new(&path, &check);
        assert_eq!(put(&mut target, "good").unwrap(), Outcome::Current);
        let refused = Outcome::Refused(format!("{}:1:1: bad\n", path.display()));
        assert_eq!(put(&mut target, "bad").unwrap(), refused);
        // It is not asked again.
        fs::remove_file(&check).expect("it was there");
        assert_eq!(put(&mut target, "bad").unwrap(), refused);
        assert!(put(&mut target, "other").is_err(), "nobody can say whether it is sound");
        assert_eq!(fs::read_to_string(&path).unwrap(), "good");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn a_validator_that_fails_is_no_verdict() {
        let (folder, check) = folder("broken");
        let path = folder.join("lb.toml");
        let mut target = Target::new(&path, &check);
        assert!(put(&mut target, "broken").is_err() && !path.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).expect("it was there");
    }
}
