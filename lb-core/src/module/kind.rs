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
        !matches!(self, ModuleKind::None)
    }

    /// Whether connections of a protocol are.
    #[must_use]
    pub const fn reads_protocol(self, protocol: Protocol) -> bool {
        match self {
            ModuleKind::None => false,
            ModuleKind::Ftp => matches!(protocol, Protocol::Tcp),
        }
    }
}
