//! Clients of persistent services that other directors tell of.

use crate::control::live::running::Running;
use lb_core::{
    sched::persistence::{Client, Kept},
    service::key::ServiceKey,
    time::Duration,
};
use std::net::{IpAddr, SocketAddr};

/// A client of another director stays with its server here, too. `false` where the service or server is not configured
/// here, remembers other networks, or there is no room.
pub(super) fn learn(
    running: &Running,
    key: &ServiceKey,
    network: IpAddr,
    server: SocketAddr,
    left: Duration,
) -> bool {
    let snapshot = &running.current().snapshot;
    let Some((service, configured)) = snapshot.service(key) else { return false };
    let Some((server, found)) = snapshot.server(&key.server(server)) else { return false };
    let persistence = &configured.persistence;
    if !persistence.is_on() || persistence.network_of(network) != network {
        return false;
    }
    let kept = Kept { server, named: found.named };
    let left = left.min(persistence.timeout);
    running.persistence.learn(&Client { service, network }, kept, (running.clock.now(), left))
}
