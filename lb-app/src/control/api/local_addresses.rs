//! Local addresses of FullNAT and SNAT.

use crate::control::live::{locals::Usage, running::Running};
use lb_ctl::protocol::{
    Reply,
    local_addresses::{LocalAddress, LocalAddresses, Request},
};

pub(super) fn answer(running: &Running, request: &Request) -> Reply {
    let Request::List = request;
    let told = |usage: Usage| LocalAddress {
        address: usage.address,
        services: usage.services,
        servers: usage.servers,
        used: usage.used,
        capacity: usage.capacity,
        each: usage.each,
    };
    Reply::LocalAddresses(LocalAddresses { addresses: running.local_addresses().map(told).collect() })
}
