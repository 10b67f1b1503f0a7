//! What connections and clients have in common in an entry: its flags (Linux, `include/uapi/linux/ip_vs.h`), its time, and
//! why nothing may come of it.

use super::message::Raw;
use crate::{conn::method::Method, named::named, time::Duration};

/// Bits of the flags that say how packets reach the server.
const FORWARDING: u32 = 0x7;
const MASQUERADE: u32 = 0;
const TUNNEL: u32 = 2;
const ROUTE: u32 = 3;
/// Servers' packets do not pass.
const NO_OUTPUT: u32 = 0x80;
/// It does not count as active.
pub(super) const INACTIVE: u32 = 0x100;
/// Sequence numbers are changed in either direction.
pub(super) const SEQUENCES: u32 = 0x600;
/// The client's port is not known yet.
pub(super) const NO_CLIENT_PORT: u32 = 0x800;
/// It is a client of a persistent service.
pub(super) const TEMPLATE: u32 = 0x1000;
/// It ends with its first packet.
pub(super) const ONE_PACKET: u32 = 0x2000;

/// How long anything is believed, at most, whatever a message says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

named! {
    /// Why an entry that can be read is not taken.
    Unfit {
        /// It is of a protocol other than TCP, UDP and SCTP.
        Protocol = "protocol",
        /// Its state is none.
        State = "state",
        /// Its packets stay at the director, or pass it by: localnode, bypass.
        Method = "method",
        /// Its sequence numbers are changed, as those of FTP are.
        Sequences = "sequence-numbers",
        /// The client's port is yet to come, as in passive FTP, or it ends with its first packet.
        Unfinished = "unfinished",
        /// It has an option that has to be known.
        Option = "option",
        /// It is a client that a persistence engine other than `sip` knows by more than its address.
        Client = "persistence",
    }
}

/// How packets reach the server, by the flags; nothing where they stay at the director or pass it by.
pub(super) const fn method(flags: u32) -> Option<Method> {
    match flags & FORWARDING {
        MASQUERADE => Some(Method::Nat),
        TUNNEL => Some(Method::Tun),
        ROUTE => Some(Method::Dr),
        _ => None,
    }
}

/// The flags of a method; nothing for one that IPVS does not have.
pub(super) const fn forwarding(method: Method) -> Option<u32> {
    match method {
        Method::Nat => Some(MASQUERADE),
        Method::Tun => Some(TUNNEL | NO_OUTPUT),
        Method::Dr => Some(ROUTE | NO_OUTPUT),
        Method::FullNat | Method::L3Dsr | Method::Snat => None,
    }
}

pub(super) fn time(raw: &Raw<'_>, default: Duration) -> Duration {
    let said = Duration::from_secs(raw.timeout_s.into());
    if said == Duration::ZERO { default } else { said.min(LONGEST) }
}
