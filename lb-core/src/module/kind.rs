//! The modules by name.

use crate::{
    conn::{method::Method, reading},
    named::named,
    wire::protocol::Protocol,
};

named! {
    /// Which module reads the connections of a service.
    ModuleKind {
        /// None does.
        None = "none",
        /// FTP: data connections go to the server of their control connection.
        Ftp = "ftp",
        /// RTSP: media goes to the server that it was agreed on with.
        Rtsp = "rtsp",
        /// PPTP: packets of a call, of GRE, go with their control connection.
        Pptp = "pptp",
        /// IRC: connections of clients behind the director that wait for others directly (DCC). For rules of SNAT.
        Irc = "irc",
        /// SIP: media goes to the server that says where it waits for it.
        Sip = "sip",
        /// TFTP: the rest of a transfer goes to the server that was asked for it.
        Tftp = "tftp",
    }
}

const _: () = assert!(ModuleKind::ALL.len() <= reading::KINDS as usize);

impl ModuleKind {
    /// The module of that number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        ModuleKind::ALL.get(usize::from(number)).copied()
    }

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
            ModuleKind::Ftp | ModuleKind::Rtsp | ModuleKind::Pptp | ModuleKind::Irc => {
                matches!(protocol, Protocol::Tcp)
            }
            ModuleKind::Sip => matches!(protocol, Protocol::Tcp | Protocol::Udp),
            ModuleKind::Tftp => matches!(protocol, Protocol::Udp),
        }
    }

    /// Whether it can read what goes to servers by a method. Under FullNAT servers would have to be told local ports in the
    /// place of those where clients wait for media, each of which leads to one worker, as media from clients has to.
    #[must_use]
    pub const fn reads_method(self, method: Method) -> bool {
        match self {
            ModuleKind::None | ModuleKind::Ftp | ModuleKind::Pptp | ModuleKind::Tftp => true,
            ModuleKind::Rtsp => !matches!(method, Method::FullNat | Method::Snat),
            ModuleKind::Irc => method.is_outward(),
            ModuleKind::Sip => !method.hides_clients(),
        }
    }

    /// The protocol of the connections that it announces to ports of their own, if any.
    #[must_use]
    pub const fn announces(self) -> Option<Protocol> {
        match self {
            // Packets of calls have the port of their control connection.
            ModuleKind::None | ModuleKind::Pptp => None,
            ModuleKind::Ftp | ModuleKind::Irc => Some(Protocol::Tcp),
            ModuleKind::Rtsp | ModuleKind::Sip | ModuleKind::Tftp => Some(Protocol::Udp),
        }
    }

    /// Whether it replaces text of a protocol that has sequence numbers, which move under methods that rewrite.
    #[must_use]
    pub const fn moves_numbers(self, protocol: Protocol) -> bool {
        use ModuleKind::{Ftp, Irc, Rtsp, Sip};
        matches!((self, protocol), (Ftp | Rtsp | Irc | Sip, Protocol::Tcp))
    }

    /// Whether packets of GRE go with its connections, by what it has read of them.
    #[must_use]
    pub const fn reads_calls(self) -> bool {
        matches!(self, ModuleKind::Pptp)
    }

    /// Whether servers speak first by a protocol, from the port that they are spoken to, as those that call do.
    #[must_use]
    pub const fn lets_servers_begin(self, protocol: Protocol) -> bool {
        matches!((self, protocol), (ModuleKind::Sip, Protocol::Udp))
    }
}
