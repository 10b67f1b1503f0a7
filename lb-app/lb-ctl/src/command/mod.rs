//! The command language: verb, object, qualifiers.
//!
//! The tree of commands is clap's, so that parsing, completion, help, man pages and shell completions come from one
//! place. Qualifiers are clap's long options; in a command's line they are written with or without dashes: `weight 5`
//! is `--weight 5`. Words may be abbreviated where only one begins so.

mod args;
mod change;
pub mod complete;
mod connections;
mod follow;
pub mod help;
mod offer;
mod options;
mod parse;
mod pick;
mod show;
mod step;
pub mod top;
mod tree;
mod watch;
pub mod words;

pub(crate) use args::duration;
pub use connections::{FilterArgs, WhichConnection};
pub(crate) use parse::wrong;
pub use parse::{asked, parse, parse_words};
pub use step::Step;
pub use tree::{Command, PortCommand, ShellLine};
