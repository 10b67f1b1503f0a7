//! An archive of text files, in memory.

use std::time::{SystemTime, UNIX_EPOCH};
use tar::{Builder, Header};

/// An archive, in memory.
pub(super) struct Archive {
    directory: &'static str,
    time: u64,
    tar: Builder<Vec<u8>>,
    names: Vec<String>,
}

impl Archive {
    /// An empty one whose files are all in `directory`.
    pub(super) fn new(directory: &'static str) -> Self {
        // Before 1970 is 1970.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Archive { directory, time, tar: Builder::new(Vec::new()), names: Vec::new() }
    }

    /// Adds a file that only root may read. Names are of ours.
    pub(super) fn add(&mut self, name: &str, text: &str) {
        let mut header = Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.time);
        let path = format!("{}/{name}", self.directory);
        self.tar.append_data(&mut header, path, text.as_bytes()).expect("memory takes everything");
        self.names.push(name.to_owned());
    }

    /// What is in it.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Its bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.tar.into_inner().expect("memory takes everything")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    #[test]
    fn tar_reads_it() {
        let mut archive = Archive::new("report");
        archive.add("a.txt", "hello\n");
        archive.add("b/c.txt", &"x".repeat(1_000));
        archive.add("empty", "");
        let directory = std::env::temp_dir().join(format!("lb-tar-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("t.tar"), archive.finish()).unwrap();
        let listed = Command::new("tar").args(["-xvf", "t.tar"]).current_dir(&directory).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "report/a.txt\nreport/b/c.txt\nreport/empty\n");
        assert!(listed.stderr.is_empty(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert_eq!(fs::read_to_string(directory.join("report/a.txt")).unwrap(), "hello\n");
        assert_eq!(fs::metadata(directory.join("report/b/c.txt")).unwrap().len(), 1_000);
        fs::remove_dir_all(directory).unwrap();
    }
}
