//! An archive of text files, in the "ustar" format of POSIX.1-1988.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a block.
const BLOCK: usize = 512;

/// An archive, in memory.
pub(super) struct Tar {
    directory: &'static str,
    time: u64,
    bytes: Vec<u8>,
    names: Vec<String>,
}

impl Tar {
    /// An empty one whose files are all in `directory`.
    pub(super) fn new(directory: &'static str) -> Self {
        // Before 1970 is 1970.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Tar { directory, time, bytes: Vec::new(), names: Vec::new() }
    }

    /// Adds a file. Names are of ours, and short.
    pub(super) fn add(&mut self, name: &str, text: &str) {
        let mut header = [0u8; BLOCK];
        let path = format!("{}/{name}", self.directory);
        assert!(path.len() < 100, "{path} is too long for a tar file");
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, &path);
        put(100, "0000600\0");
        // User and group: root.
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", text.len()));
        put(136, &format!("{:011o}\0", self.time));
        // The checksum is that of the header with blanks in its place.
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        put(265, "root");
        put(297, "root");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self.names.push(name.to_owned());
    }

    /// What is in it.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Its bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    #[test]
    fn tar_reads_it() {
        let mut tar = Tar::new("report");
        tar.add("a.txt", "hello\n");
        tar.add("b/c.txt", &"x".repeat(1_000));
        tar.add("empty", "");
        let bytes = tar.finish();
        assert_eq!(bytes.len() % BLOCK, 0);
        let directory = std::env::temp_dir().join(format!("lb-tar-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("t.tar"), bytes).unwrap();
        let listed = Command::new("tar").args(["-xvf", "t.tar"]).current_dir(&directory).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "report/a.txt\nreport/b/c.txt\nreport/empty\n");
        assert!(listed.stderr.is_empty(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert_eq!(fs::read_to_string(directory.join("report/a.txt")).unwrap(), "hello\n");
        assert_eq!(fs::metadata(directory.join("report/b/c.txt")).unwrap().len(), 1_000);
        fs::remove_dir_all(directory).unwrap();
    }
}
