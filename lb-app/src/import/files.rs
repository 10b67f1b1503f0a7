//! Where the files to import come from: the host, standard input, or a test.

use crate::config::expand;
use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Files by name.
pub(super) trait Files {
    /// The text of one.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The files that a pattern means which stands in a file.
    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String>;
}

/// Those of the host; `-` is standard input.
pub(super) struct Host;

impl Files for Host {
    fn read(&self, path: &str) -> Result<String, String> {
        let read = |mut from: Box<dyn Read>| {
            let mut bytes = Vec::new();
            from.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MAX_BYTES {
                return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
            }
            Ok(bytes)
        };
        let bytes = match path {
            "-" => read(Box::new(io::stdin())),
            _ => fs::File::open(path).and_then(|file| read(Box::new(file))),
        };
        // Comments of old files are in old character sets.
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|error| error.to_string())
    }

    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let found = expand(folder, pattern).map_err(|complaint| complaint.what)?;
        let found = found.into_iter().filter(|path| path.exists());
        found
            .map(|path: PathBuf| {
                path.into_os_string().into_string().map_err(|_| "its name is not UTF-8".to_owned())
            })
            .collect()
    }
}
