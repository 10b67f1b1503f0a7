//! `[config] watch`: the configuration file is looked at over and over, and a change of its content is applied as a reload.
//! What is wrong is refused, and what applied last stays in effect.
//!
//! It is looked at by its path, twice a second, rather than by the kernel's notices (inotify, as the `notify` crate has
//! it). Those belong to inodes: an editor that replaces a file by another, a symbolic link that is swapped (as Kubernetes
//! does), a folder that is made anew and an `include` that finds more files take a watch of their own each, and network
//! file systems send none. A look costs a `stat` of each file and of its folder; the content is read when one of these is
//! different, and every ten seconds in any case. It counts once it was the same on two looks in a row, so that half a
//! file is not read as a whole.
//!
//! What was looked at and dealt with is remembered by its hash: a file that was refused is not tried again and again, and
//! one that was rolled back is not applied again.

use super::reload::{How, ReloadError, Reloads};
use crate::{config, control::live::running::Running};
use parking_lot::Mutex;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Time between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// Time after which the content is read although nothing seems to be different.
const READ: Duration = Duration::from_secs(10);

/// Who asks for a reload, as the log and events have it.
const WHO: &str = "the watched file";

/// What became of the content of the file, as far as anybody looked at it.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The content that something was done about last.
    dealt: Option<Content>,
    /// The content when it was looked at last.
    seen: Option<Content>,
    /// Why that is not in effect.
    refused: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// Files with that hash.
    Hash(String),
    /// They cannot be read, and why.
    Unreadable(String),
}

/// The file that is watched, for those who ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The hash of its content, if it can be read.
    pub(crate) sha256: Option<String>,
    /// Why that is not in effect.
    pub(crate) refused: Option<String>,
}

impl State {
    /// What was found, while what has the hash `applied` is in effect. Whether that is to be applied now.
    fn look(&mut self, found: Content, applied: &str) -> bool {
        let is_steady = self.seen.as_ref() == Some(&found);
        if found == Content::Hash(applied.to_owned()) {
            // At start, or after a reload by whomever.
            self.refused = None;
            self.dealt = Some(found.clone());
        }
        let is_news = self.dealt.as_ref() != Some(&found);
        self.seen = Some(found);
        is_steady && is_news
    }

    /// What was seen last has been applied, or refused.
    fn deal(&mut self, refused: Option<String>) {
        self.dealt.clone_from(&self.seen);
        self.refused = refused;
    }
}

impl Watched {
    /// What is known of the file, if it is watched.
    pub(crate) fn told(&self, running: &Running) -> Option<Told> {
        running.current().config.file.watch.then(|| {
            let state = self.0.lock();
            let sha256 = match &state.seen {
                Some(Content::Hash(hash)) => Some(hash.clone()),
                Some(Content::Unreadable(_)) | None => None,
            };
            Told { sha256, refused: state.refused.clone() }
        })
    }

    /// Reads the file, and applies it if that is due.
    fn read(&self, running: &Running, reloads: &Reloads) {
        let found = match config::read(&running.path) {
            Ok(sources) => Content::Hash(sources.sha256()),
            Err(report) => Content::Unreadable(report.to_string()),
        };
        if !self.0.lock().look(found, &running.current().config.sha256) {
            return;
        }
        match reloads.reload(running, How::default(), WHO) {
            Ok(_) => self.0.lock().deal(None),
            // It is tried again when the other one is settled.
            Err(ReloadError::Unconfirmed(_)) => {}
            Err(error) => self.0.lock().deal(Some(error.to_string().trim_end().to_owned())),
        }
    }
}

/// Who looks at the file.
#[derive(Debug, Default)]
pub(crate) struct Looker {
    /// What it saw when the file was last read, and when.
    last: Option<(Vec<Signature>, Instant)>,
}

impl Looker {
    /// Looks, and has the file applied if that is due. To be called every [`LOOK`].
    pub(crate) fn look(&mut self, running: &Running, watched: &Watched, reloads: &Reloads) {
        let config = running.current().config;
        if !config.file.watch {
            self.last = None;
            return;
        }
        let signatures = signatures(&running.path, &config.included);
        let is_same = self.last.as_ref().is_some_and(|(before, at)| {
            *before == signatures && at.elapsed() < READ && watched.0.lock().is_settled()
        });
        if !is_same {
            watched.read(running, reloads);
            self.last = Some((signatures, Instant::now()));
        }
    }
}

impl State {
    /// Nothing has to be looked at again soon.
    fn is_settled(&self) -> bool {
        self.dealt.is_some() && self.dealt == self.seen
    }
}

/// By what one sees that a file is another: where it is, its size, and when it was changed. Nothing if there is none.
type Signature = Option<(u64, u64, u64, i64, i64)>;

/// Those of the files and of the folders they are in.
fn signatures(path: &Path, included: &[PathBuf]) -> Vec<Signature> {
    let files = || included.iter().map(PathBuf::as_path).chain([path]);
    let mut folders: Vec<&Path> = files().filter_map(Path::parent).collect();
    folders.dedup();
    files().chain(folders).map(signature).collect()
}

fn signature(path: &Path) -> Signature {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.size(), data.ctime(), data.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Content {
        Content::Hash(text.to_owned())
    }

    #[test]
    fn a_change_counts_once_it_stays() {
        let mut state = State::default();
        assert!(!state.look(hash("a"), "a") && !state.look(hash("a"), "a"), "it is in effect");
        assert!(!state.look(hash("half"), "a") && !state.look(hash("b"), "a"), "somebody writes");
        assert!(state.look(hash("b"), "a"));
        state.deal(None);
        assert!(!state.look(hash("b"), "b") && !state.look(hash("b"), "b"));
    }

    #[test]
    fn what_was_refused_is_not_tried_again() {
        let mut state = State::default();
        state.look(hash("a"), "a");
        state.look(hash("wrong"), "a");
        assert!(state.look(hash("wrong"), "a"));
        state.deal(Some("it is wrong".to_owned()));
        assert!(!state.look(hash("wrong"), "a") && !state.look(hash("wrong"), "a"));
        assert!(state.is_settled() && state.refused.is_some());
        // Back to what is in effect: nothing to do, and nothing wrong any more.
        assert!(!state.look(hash("a"), "a") && !state.look(hash("a"), "a") && state.refused.is_none());
        state.look(hash("wrong"), "a");
        assert!(state.look(hash("wrong"), "a"), "somebody wants it again");
    }

    #[test]
    fn what_was_rolled_back_is_not_applied_again() {
        let mut state = State::default();
        // An operator has reloaded it, on condition.
        state.look(hash("a"), "a");
        state.look(hash("b"), "b");
        assert!(!state.look(hash("b"), "a") && !state.look(hash("b"), "a"), "it was not confirmed");
        state.look(hash("c"), "a");
        assert!(state.look(hash("c"), "a"));
    }

    #[test]
    fn a_file_that_is_away_for_a_moment_is_no_news() {
        let mut state = State::default();
        let away = || Content::Unreadable("no such file".to_owned());
        state.look(hash("a"), "a");
        assert!(!state.look(away(), "a") && !state.look(hash("a"), "a") && !state.look(hash("a"), "a"));
        assert!(!state.look(away(), "a") && state.look(away(), "a"), "for longer it is");
    }
}
