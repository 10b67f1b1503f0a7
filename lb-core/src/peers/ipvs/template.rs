//! Clients of persistent services as IPVS tells of them: its templates (Linux, `ip_vs_sched_persist` in
//! `net/netfilter/ipvs/ip_vs_core.c`). One is a connection without a client's port: from the client's network to what the
//! service is known by, at the server.
//!
//! | service of IPVS | protocol | virtual address and port | server's port |
//! |---|---|---|---|
//! | by address and port | the service's | these | the server's |
//! | the same, of port 21 | the service's | the address and 0: data connections have other ports | 0 |
//! | by address, of all ports | the service's | the address and 0 | 0 |
//! | by mark of the firewall | 0 | the mark, as the first four bytes of an address, and 0 | 0 |
//!
//! Of a service with a persistence engine the engine says whom a client of that network is (`ip_vs_conn_fill_param_persist`).
//! There is one, `sip` (`ip_vs_pe_sip.c`), which says the Call-ID.

use super::{
    flags::{INACTIVE, TEMPLATE, Unfit, forwarding, method, time},
    message::{Engine, Has, Raw},
};
use crate::{conn::method::Method, time::Duration, wire::protocol::Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// FTP's port, whose services have templates of all ports (`FTPPORT`).
pub const FTP: u16 = 21;
/// The protocol of a template of a service by mark (`IPPROTO_IP`).
const ANY_PROTOCOL: u8 = 0;
/// The engine that knows clients by their calls.
const SIP: &[u8] = b"sip";
/// States of a template: nothing is known, and a client that exists (`IP_VS_CTPL_S_ASSURED`).
const STATES: u16 = 2;
const ASSURED: u16 = 1;
/// How long a template is kept whose message has no time: `ip_vs_proc_conn`'s three minutes.
const TIME: Duration = Duration::from_secs(3 * 60);

/// What IPVS knows a persistent service by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// An address and a port, by one protocol. Port 0 is of all ports, or FTP's.
    Endpoint(Protocol, SocketAddr),
    /// A mark of the firewall.
    Mark(u32),
}

/// A client of a persistent service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'d> {
    /// The service.
    pub of: Of,
    /// The first address of the client's network.
    pub network: IpAddr,
    /// Which call of that network it is, by its Call-ID, if calls are told apart.
    pub call_id: Option<&'d [u8]>,
    /// The server; port 0 unless the service is by address and port.
    pub server: SocketAddr,
    /// How packets reach the server.
    pub method: Method,
    /// For how long it is remembered.
    pub left: Duration,
}

impl<'d> Template<'d> {
    /// The entry that tells of it; nothing for a method that IPVS does not have, where one address is not of the others'
    /// family, or for a call: of those here a hash is known. That its client exists is said, so it is to be known.
    #[must_use]
    pub fn tell(&self) -> Option<Raw<'static>> {
        let Template { of, network, call_id, server, method, left } = *self;
        if network.is_ipv4() != server.is_ipv4() || call_id.is_some() {
            return None;
        }
        let (protocol, vip, mark) = match of {
            Of::Endpoint(protocol, vip) => (protocol.number(), vip, 0),
            Of::Mark(mark) => (ANY_PROTOCOL, SocketAddr::new(marked(mark, network.is_ipv4()), 0), mark),
        };
        Some(Raw {
            protocol,
            flags: forwarding(method)? | INACTIVE | TEMPLATE,
            state: ASSURED,
            client: SocketAddr::new(network, 0),
            vip,
            server,
            mark,
            timeout_s: u32::try_from(left.as_millis() / 1_000).unwrap_or(u32::MAX).max(1),
            has: Has::default(),
            engine: None,
        })
    }

    /// What an entry tells of.
    ///
    /// # Errors
    /// Why nothing comes of it.
    pub(super) fn read(raw: &Raw<'d>) -> Result<Self, Unfit> {
        let Raw { client, vip, server, mark, .. } = *raw;
        let call_id = match raw.engine {
            None => None,
            Some(Engine { name: SIP, data }) => Some(data),
            Some(_) => return Err(Unfit::Client),
        };
        if raw.state >= STATES {
            return Err(Unfit::State);
        }
        // Packets of a service by address may have a mark, too; then the address is one.
        let of = match raw.protocol {
            ANY_PROTOCOL if mark != 0 => Of::Mark(mark),
            number => Of::Endpoint(Protocol::from_number(number).ok_or(Unfit::Protocol)?, vip),
        };
        let method = method(raw.flags).ok_or(Unfit::Method)?;
        Ok(Template { of, network: client.ip(), call_id, server, method, left: time(raw, TIME) })
    }
}

/// The address that a template of a service by mark has in the place of a VIP: `union nf_inet_addr` with the mark as its
/// `ip`.
fn marked(mark: u32, is_ipv4: bool) -> IpAddr {
    if is_ipv4 {
        Ipv4Addr::from_bits(mark).into()
    } else {
        Ipv6Addr::from_bits(u128::from(mark) << 96).into()
    }
}
