//! Who asks.

use super::access::Role;
use nix::unistd::{Uid, User};
use std::fmt;

/// Somebody who asks: a process at the other end of the control socket, the page, or the director's own shell. Its `Display` is how
/// events and the log name it: `uid 1000 (alice)`.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    name: String,
    /// What they may do.
    pub(super) role: Role,
}

impl Author {
    /// A user with a role. Asks the host for a name, which may take a while.
    pub(crate) fn user(user: u32, role: Role) -> Self {
        let name = match User::from_uid(Uid::from_raw(user)) {
            Ok(Some(found)) => format!("uid {user} ({})", found.name),
            _ => format!("uid {user}"),
        };
        Author { name, role }
    }

    /// Whoever looks at the page: anybody who reaches it.
    pub(crate) fn page() -> Self {
        Author { name: "the page".to_owned(), role: Role::Reader }
    }

    /// Whoever started the director, at its own shell or with its own file of commands.
    pub(crate) fn shell() -> Self {
        Author { name: "the shell".to_owned(), role: Role::Administrator }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
