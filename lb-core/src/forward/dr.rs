//! Direct routing: the packet goes to the server's Ethernet address as it is. The server has the VIP on an interface
//! that does not answer ARP, and answers the client itself.

use crate::{family::Family, wire::headers::Headers};

/// The client's packet, on its way to the server. A router's one off the time to live, as in IPVS: two directors
/// that take each other for a server would otherwise pass a packet back and forth for ever.
#[inline(always)]
pub fn inbound<F: Family>(frame: &mut [u8], at: &Headers<F>) {
    F::decrement_ttl(&mut frame[usize::from(at.l3)..]);
}
