//! What is asked on this host: a program, or a file that somebody else writes.

use lb_core::{
    limits::MAX_WEIGHT,
    option,
    service::option::{Kind as Of, Opt, Setting, Value},
};
use std::path::PathBuf;

/// A program and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The program and its arguments; no shell is involved.
    pub(crate) command: Vec<String>,
    /// The user it runs as; ours if not given.
    pub(crate) user: Option<String>,
    /// Largest address space, in MiB.
    pub(crate) memory_mib: u32,
    /// Its exit status says a weight as well; keepalived's `misc_dynamic`.
    pub(crate) dynamic: bool,
}

impl Command {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(command, Of::Program, "The program and its arguments.")
            .required("[\"/usr/local/bin/probe\", \"--fast\"]"),
        option!(user, Of::Name, "The user it runs as.").default("lb-app's"),
        option!(memory_mib, Of::number(16, 65_536), "Its memory limit, in MiB."),
        option!(
            dynamic,
            Of::Flag,
            "Exit status 2 to 255 is a success, too, and gives the server a weight that is 2 less: 0 to 253. \
             keepalived: `misc_dynamic`."
        )
        .default("`false`; of an agent `true`"),
    ];
}

impl Default for Command {
    fn default() -> Self {
        Command { command: Vec::new(), user: None, memory_mib: 512, dynamic: false }
    }
}

/// A file that somebody else writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// What a number in it counts for; 0 is that any number but 0 is a failure.
    pub(crate) weight: u32,
    /// The other way round.
    pub(crate) reverse: bool,
}

impl File {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        Opt::<Self>::new(
            "file",
            Of::FilePath,
            "What is read: the first line. keepalived: `file` of `track_file`.",
            |file| Some(Value::Text(file.path.display().to_string())),
            |file, value| String::from_value(value).map(|path| file.path = path.into()).is_some(),
        )
        .required("\"/run/lb/web1\""),
        option!(
            weight,
            Of::number(0, MAX_WEIGHT as u64),
            "A number in it, times this, is added to the server's weight. With 0 the server is down while the \
             number is not 0. keepalived: `weight` of `track_file`."
        ),
        option!(
            reverse,
            Of::Flag,
            "It is subtracted instead; or the server is down while the number is 0. keepalived: `reverse`."
        ),
    ];
}
