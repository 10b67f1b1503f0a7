//! Machines that tests make up: a directory with a few files of `/proc` and `/sys`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A directory that goes with this value.
pub(crate) struct Tree(PathBuf);

static LAST: AtomicU32 = AtomicU32::new(0);

impl Tree {
    /// With these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let number = LAST.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("lb-doctor-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let tree = Tree(path);
        files.iter().for_each(|(path, text)| tree.write(path, text));
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A link, as `/sys` names drivers.
    pub(crate) fn link(&self, path: &str, to: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
