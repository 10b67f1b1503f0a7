//! Who is checked, and what a check finds.

use super::advice::Told;
use lb_core::service::key::ServerKey;
use std::io;

/// What a check found: nothing wrong, or what is wrong in plain words.
pub(crate) type Finding = Result<(), String>;

/// What was heard of a server: what is said of it, or why nothing could be heard.
pub(crate) type Answer = Result<Told, String>;

/// Who is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The operator's name of the service.
    pub(crate) name: String,
    /// The server.
    pub(crate) key: ServerKey,
}

/// An error in plain words, without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "it refused the connection".to_owned(),
        io::ErrorKind::ConnectionReset => "it reset the connection".to_owned(),
        io::ErrorKind::HostUnreachable => "the host is unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "no route to its network".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}
