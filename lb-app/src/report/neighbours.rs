//! Neighbours, as `ip neighbour` lists them. Workers that know the same are listed together.

use lb_core::{
    neigh::entry::{Knowledge, Neighbour},
    packet::WorkerId,
};
use std::{collections::BTreeMap, fmt::Write};

pub(super) fn write(text: &mut String, interfaces: &[String], known: Vec<(WorkerId, Vec<Neighbour>)>) {
    let _ = writeln!(text, "Neighbours");
    let mut lines: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (worker, neighbours) in known {
        for neighbour in neighbours {
            let what = match neighbour.knowledge {
                Knowledge::Known => format!("at {}", neighbour.mac),
                Knowledge::Asking => "being asked".to_owned(),
                Knowledge::Failed => "does not answer".to_owned(),
            };
            let key = (neighbour.hop.interface, neighbour.hop.address, what);
            lines.entry(key).or_default().push(worker.0.to_string());
        }
    }
    for ((interface, address, what), workers) in lines {
        let interface = interfaces.get(interface.index()).map_or("?", String::as_str);
        let _ = writeln!(text, "{address} on {interface} {what} (worker {})", workers.join(", "));
    }
}
