//! Where the director runs: memory, lcores and NUMA nodes, reported at start.

use crate::dpdk::{Eal, LcoreId, StartedPort};
use lb_core::service::plan::PortPlan;
use std::fmt::Write;

/// What the packet buffers are on, and what each lcore does: a line each.
pub(crate) fn describe(eal: &Eal, workers: &[LcoreId]) -> String {
    let mut text = String::from(if eal.has_hugepages() {
        "memory: huge pages\n"
    } else {
        "memory: no huge pages (--no-huge): access to packet buffers is slower\n"
    });
    let _ = writeln!(text, "lcore {}: control", eal.main_lcore());
    for (worker, lcore) in workers.iter().enumerate() {
        let _ = writeln!(text, "lcore {lcore} (NUMA node {}): worker {worker}", lcore.socket());
    }
    text
}

/// A warning for each port with workers on another NUMA node than its own.
pub(crate) fn distances(plans: &[PortPlan], ports: &[StartedPort], workers: &[LcoreId]) -> Vec<String> {
    let workers: Vec<(LcoreId, u32)> = workers.iter().map(|&lcore| (lcore, lcore.socket())).collect();
    let nodes = plans.iter().zip(ports).map(|(plan, port)| (&plan.name, port.info().socket));
    nodes.filter_map(|(name, node)| distance(name, node?, &workers)).collect()
}

/// The sentence for a port on `node`, unless all workers, each with its node, are there too.
fn distance(port: &str, node: u32, workers: &[(LcoreId, u32)]) -> Option<String> {
    let away = workers.iter().filter(|(_, other)| *other != node);
    let away: Vec<String> = away.map(|(lcore, other)| format!("{lcore} (node {other})")).collect();
    if away.is_empty() {
        return None;
    }
    Some(format!(
        "port {port} is on NUMA node {node}, but these lcores are not: {}; their packets cross nodes: use lcores of \
         node {node}",
        away.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_on_another_node_are_worth_a_word() {
        let workers = [(LcoreId(1), 0), (LcoreId(2), 1), (LcoreId(3), 1)];
        assert_eq!(distance("wan", 0, &workers[..1]), None);
        assert_eq!(
            distance("wan", 0, &workers).unwrap(),
            "port wan is on NUMA node 0, but these lcores are not: 2 (node 1), 3 (node 1); their packets cross nodes: \
             use \
             lcores of node 0"
        );
    }
}
