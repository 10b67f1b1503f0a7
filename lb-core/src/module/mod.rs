//! Application modules: they read what some protocols say of further connections. A protocol is one file, and a service
//! says which reads its connections.
//!
//! A module sees the bytes of each direction once and in order, however they are cut into segments, and keeps a few bytes of
//! what it has not read to the end. It may have other text take the place of some, and it announces
//! [expectations](expected): connections that are about to come and belong to the server of this one. Numbers of both
//! sides, repeated segments, and acknowledgements are not its business: see [`talk`].
//!
//! A datagram is read whole, and nothing is kept of it. Any number of its texts may give way to others: see [`edits`].

pub mod edits;
pub mod expected;
pub mod ftp;
pub mod irc;
pub mod kept;
pub mod kind;
pub mod pptp;
pub mod reader;
pub mod rtsp;
pub mod shift;
pub mod sip;
pub mod talk;
pub mod talks;
pub mod text;
pub mod tftp;

use kind::ModuleKind;
use reader::Module;

/// The module of that name, if it is one.
#[must_use]
pub fn of_kind(kind: ModuleKind) -> Option<&'static dyn Module> {
    match kind {
        ModuleKind::None => None,
        ModuleKind::Ftp => Some(&ftp::Ftp),
        ModuleKind::Rtsp => Some(&rtsp::Rtsp),
        ModuleKind::Pptp => Some(&pptp::Pptp),
        ModuleKind::Irc => Some(&irc::Irc),
        ModuleKind::Sip => Some(&sip::Sip),
        ModuleKind::Tftp => Some(&tftp::Tftp),
    }
}
