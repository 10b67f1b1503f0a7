//! Where captures are written: into one directory, and nowhere else. The director runs as root, and who may talk to it
//! need not be: a file of their choice could be any file of the host.

use super::error::WatchError;
use nix::unistd::Group;
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown},
    path::{Component, Path, PathBuf},
};
use tracing::warn;

/// A directory for captures, and whose members may read them, beside root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) directory: &'a Path,
    pub(super) group: Option<&'a str>,
}

impl Place<'_> {
    /// Creates a new file of that name in the directory, and the directory if it is missing.
    ///
    /// # Errors
    /// When the name leads elsewhere, or there is something of that name, a link included.
    pub(super) fn create(&self, file: &Path) -> Result<(File, PathBuf), WatchError> {
        let path = self.inside(file)?;
        let fail = |path: &Path| {
            let file = path.display().to_string();
            move |error| WatchError::File { file, error }
        };
        self.make_directory().map_err(fail(self.directory))?;
        // A new file or none: what a link of that name points to is left alone.
        let out =
            File::options().write(true).create_new(true).mode(0o640).open(&path).map_err(fail(&path))?;
        self.give_to_group(&out, &path);
        Ok((out, path))
    }

    /// The path of a file whose name is plain, or whose directory is this one.
    fn inside(&self, file: &Path) -> Result<PathBuf, WatchError> {
        let elsewhere =
            || WatchError::Elsewhere { file: file.to_owned(), directory: self.directory.to_owned() };
        let name = match file.strip_prefix(self.directory) {
            Ok(rest) if file.is_absolute() => rest,
            _ => file,
        };
        // What the path means, and how it is written: "a/" and "./a" are not plain.
        let mut parts = name.components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(only)), None) if only == name.as_os_str() => {
                Ok(self.directory.join(only))
            }
            _ => Err(elsewhere()),
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.directory.parent() {
            fs::create_dir_all(parent)?;
        }
        DirBuilder::new().mode(0o750).create(self.directory)?;
        self.give_to_group(&File::open(self.directory)?, self.directory);
        Ok(())
    }

    /// That those cannot read a capture who asked for it is no reason to have none.
    fn give_to_group(&self, file: &File, path: &Path) {
        let Some(name) = self.group else { return };
        let given = match Group::from_name(name) {
            Ok(Some(group)) => fchown(file, None, Some(group.gid.as_raw())),
            Ok(None) => Err(io::Error::other("the group does not exist")),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = given {
            warn!("cannot change the group of {} to {name}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lb-captures-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_names_inside_are_taken() {
        let place = Place { directory: Path::new("/var/lib/lb/captures"), group: None };
        let inside = |file: &str| place.inside(Path::new(file)).ok();
        let expected = Some(PathBuf::from("/var/lib/lb/captures/a.pcapng"));
        assert_eq!(inside("a.pcapng"), expected);
        assert_eq!(inside("/var/lib/lb/captures/a.pcapng"), expected);
        assert_eq!(inside("..a"), Some(PathBuf::from("/var/lib/lb/captures/..a")));
        for file in [
            "",
            ".",
            "..",
            "/",
            "./a",
            "a/",
            "a/b",
            "a/../b",
            "../a",
            "/a",
            "/etc/passwd",
            "/var/lib/lb/captures",
            "/var/lib/lb/captures/",
            "/var/lib/lb/captures/..",
            "/var/lib/lb/captures/../a",
            "/var/lib/lb/captures/a/b",
            "/var/lib/lb/captures-a",
        ] {
            let refused = place.inside(Path::new(file));
            assert!(matches!(refused, Err(WatchError::Elsewhere { .. })), "{file}: {refused:?}");
        }
    }

    #[test]
    fn a_file_is_new_and_its_directory_private() {
        let scratch = Scratch::new("new");
        let directory = scratch.0.join("deep/captures");
        let place = Place { directory: &directory, group: Some("no-such-group") };
        let (_, path) = place.create(Path::new("a")).unwrap();
        assert_eq!(path, directory.join("a"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path) & 0o007), (0o750, 0));
        assert!(matches!(place.create(Path::new("a")), Err(WatchError::File { .. })));
    }

    #[test]
    fn links_are_not_followed() {
        let scratch = Scratch::new("links");
        let place = Place { directory: &scratch.0, group: None };
        let (precious, missing) = (scratch.0.join("precious"), scratch.0.join("missing"));
        fs::write(&precious, "precious").unwrap();
        for (link, to) in [("to-file", &precious), ("to-nothing", &missing)] {
            symlink(to, scratch.0.join(link)).unwrap();
            let refused = place.create(Path::new(link));
            assert!(matches!(refused, Err(WatchError::File { .. })), "{link}");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(!missing.exists());
    }
}
