//! What passed between clients and servers, as `ipvsadm -Ln --stats` lists it.

use super::services::sent_to;
use lb_core::{counters::ServerTraffic, ids::ServerId, service::snapshot::Snapshot};
use std::fmt::Write;

/// `workers`: what each worker counted, by server.
pub(super) fn write(text: &mut String, snapshot: &Snapshot, workers: &[&[ServerTraffic]]) {
    let _ = writeln!(
        text,
        "{:<33} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "Prot LocalAddress:Port", "Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"
    );
    let _ = writeln!(text, "  -> RemoteAddress:Port");
    for (_, service) in snapshot.configured() {
        let servers: Vec<_> = service.servers.iter().map(|&id| (id, total(workers, id))).collect();
        let mut sum = [0; 5];
        for (_, counts) in &servers {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let name = format!("{:<4} {}", service.reach().protocols_shown(), sent_to(service.reach()));
        write_line(text, &name, &sum);
        for (id, counts) in servers {
            let server = &snapshot.servers[id].plan;
            write_line(text, &format!("  -> {}", server.endpoint()), &counts);
        }
    }
}

/// Connections, packets in and out, bytes in and out of one server, over all workers.
fn total(workers: &[&[ServerTraffic]], id: ServerId) -> [u64; 5] {
    let mut sum = [0; 5];
    for traffic in workers.iter().filter_map(|servers| servers.get(id.index())) {
        let ServerTraffic {
            connections,
            packets: [packets_in, packets_out],
            bytes: [bytes_in, bytes_out],
            refused: _,
        } = traffic;
        let counters = [connections, packets_in, packets_out, bytes_in, bytes_out];
        sum.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.get());
    }
    sum
}

fn write_line(text: &mut String, name: &str, counts: &[u64; 5]) {
    let _ = write!(text, "{name:<33}");
    for &count in counts {
        let _ = write!(text, "{:>9}", abbreviated(count));
    }
    text.push('\n');
}

/// A number in at most nine characters, abbreviated as by ipvsadm.
fn abbreviated(count: u64) -> String {
    const BILLION: u64 = 1_000_000_000;
    match count {
        0..100_000_000 => count.to_string(),
        100_000_000..BILLION => format!("{}K", count / 1_000),
        BILLION..100_000_000_000 => format!("{}M", count / 1_000_000),
        100_000_000_000..100_000_000_000_000 => format!("{}G", count / BILLION),
        100_000_000_000_000.. => format!("{}T", count / (1_000 * BILLION)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_cut_off() {
        let counts = [99_999_999, 100_000_000, 1_999_999_999, 100_000_000_000, 100_000_000_000_000];
        assert_eq!(counts.map(abbreviated), ["99999999", "100000K", "1999M", "100G", "100T"]);
    }
}
