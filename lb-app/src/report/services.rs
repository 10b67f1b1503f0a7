//! Services and servers, as `ipvsadm -Ln` lists them.

use lb_core::service::{load::LoadBoard, plan::Method, reach::Reach, snapshot::Snapshot};
use std::fmt::Write;

pub(super) fn write(text: &mut String, snapshot: &Snapshot, board: &LoadBoard) {
    let _ = writeln!(text, "Prot LocalAddress:Port Scheduler Flags");
    let _ = writeln!(text, "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn");
    for (_, service) in snapshot.configured() {
        let (protocol, address) = (service.reach().protocols_shown(), sent_to(service.reach()));
        let _ = writeln!(text, "{protocol:<4} {address} {}", service.scheduler_kind);
        for &id in &service.servers {
            let server = &snapshot.servers[id].plan;
            let load = board.total(id);
            let _ = writeln!(
                text,
                "  -> {:<28} {:<7} {:<6} {:<10} {:<10}",
                server.endpoint().to_string(),
                forward(service.method),
                server.effective_weight(),
                load.active,
                load.inactive,
            );
        }
    }
}

/// What clients of a service send to, and which clients these are if not all.
pub(super) fn sent_to(reach: Reach) -> String {
    let clients = reach.clients_shown();
    if clients.is_empty() { reach.to_string() } else { format!("{reach} {clients}") }
}

const fn forward(method: Method) -> &'static str {
    match method {
        Method::Nat => "Masq",
        Method::FullNat => "FullNat",
        Method::Tun => "Tunnel",
        Method::Dr => "Route",
        Method::L3Dsr => "L3DSR",
        // No service's.
        Method::Snat => "SNAT",
    }
}
