//! The modules by name.

use crate::{named::named, wire::protocol::Protocol};

named! {
    /// Which module reads the connections of a service.
    ModuleKind {
        /// None does.
        None = "none",
        /// FTP: data connections go to the server of their control connection.
        Ftp = "ftp",
    }
}

impl ModuleKind {
    /// Whether connections are read.
    #[must_use]
    pub const fn reads(self) -> bool {
        self.protocol().is_some()
    }

    /// The protocol of the connections that it reads, if it reads any.
    #[must_use]
    pub const fn protocol(self) -> Option<Protocol> {
        match self {
            ModuleKind::None => None,
            ModuleKind::Ftp => Some(Protocol::Tcp),
        }
    }
}
