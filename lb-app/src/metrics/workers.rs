//! Metrics of workers.

use super::{
    facts::{Facts, Worker},
    text::{Family, Gauge, Kind, Writer, labels},
};
use lb_core::counters::DropReason;

/// Name and help of each of a worker's counters.
const WORKER_COUNTERS: [(&str, &str); 25] = [
    ("lb_worker_received_packets", "Packets received from ports."),
    ("lb_worker_taken_over_packets", "Packets taken over from other workers."),
    ("lb_worker_originated_packets", "Packets that the worker made itself."),
    ("lb_worker_sent_packets", "Packets sent: given to a port and accepted by it."),
    ("lb_worker_host_packets", "Packets for the director itself."),
    ("lb_worker_handed_over_packets", "Packets handed over to other workers."),
    ("lb_worker_created_connections", "Connections created."),
    ("lb_worker_ended_connections", "Connections ended, for whatever reason."),
    ("lb_worker_evicted_connections", "Unconfirmed connections that made room for new ones."),
    ("lb_worker_refused_connections", "New connections refused because no server of the service takes any."),
    (
        "lb_worker_exhausted_connections",
        "New connections refused because no local port towards the server was free.",
    ),
    (
        "lb_worker_sent_client_addresses",
        "Headers of the PROXY protocol and TOA options sent to servers, repeated ones included.",
    ),
    (
        "lb_worker_left_out_client_addresses",
        "Segments without the TOA option that they should have had: there was no room.",
    ),
    ("lb_worker_expected_connections", "Connections that modules have announced."),
    ("lb_worker_came_connections", "Of the connections that modules have announced, those that have come."),
    (
        "lb_worker_unexpected_connections",
        "Of the connections that modules have announced, those for which there was no room, that made room for others, \
         could not be told from others, or are said to clients at an address that they do not reach.",
    ),
    ("lb_worker_rewritten_packets", "Packets in which a module replaced text, repeated ones included."),
    (
        "lb_worker_unread_connections",
        "Connections that no module reads although one should, as there are too many.",
    ),
    (
        "lb_worker_quic_connections",
        "Connections of QUIC that went to the server that their connection ID names.",
    ),
    (
        "lb_worker_quic_lost_connections",
        "Connections of QUIC that went on and were scheduled anew, as their connection ID names no server, or one that is \
         gone.",
    ),
    ("lb_worker_sent_resets", "TCP resets, and aborts of SCTP, sent as answers."),
    ("lb_worker_sent_icmp_errors", "ICMP errors sent as answers."),
    ("lb_worker_missing_buffers", "Own packets not sent because there was no packet buffer."),
    ("lb_worker_fragmented_packets", "Packets fragmented because the way out carries less."),
    ("lb_worker_made_fragments", "Fragments that they were sent in."),
];

/// Writes them.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    let workers = || (0..).map(|number: u32| number.to_string()).zip(&facts.workers);
    let named: Vec<String> = workers().map(|(number, _)| labels(&[("worker", &number)])).collect();
    let things = named.iter().map(String::as_str).zip(&facts.workers);
    writer.counters(&WORKER_COUNTERS, &things.clone().map(|(labels, worker)| (labels, &worker.counters[..])));
    let help = "Packets dropped, by reason.";
    writer.family(&Family { name: "lb_worker_dropped_packets", kind: Kind::Counter, help });
    for (number, worker) in workers() {
        for (reason, count) in DropReason::ALL.iter().zip(&worker.dropped) {
            writer.sample(&labels(&[("worker", &number), ("reason", reason.name())]), *count);
        }
    }
    let gauges: [Gauge<Worker>; 4] = [
        ("lb_worker_connections", "Connections now.", |worker| worker.connections),
        ("lb_worker_waiting_packets", "Packets that wait for a neighbour's address.", |worker| {
            worker.waiting
        }),
        ("lb_worker_waiting_fragments", "Fragments that wait for the first of their datagram.", |worker| {
            worker.waiting_fragments
        }),
        ("lb_worker_fragmented_datagrams", "Datagrams that are known by their fragments.", |worker| {
            worker.datagrams
        }),
    ];
    writer.gauges(&gauges, &things);
    let help =
        "CPU cycles of loop iterations with packets or other work, and of those without, including sleep.";
    writer.family(&Family { name: "lb_worker_cycles", kind: Kind::Counter, help });
    for (number, worker) in workers() {
        for (state, cycles) in ["busy", "idle"].iter().zip(worker.cycles) {
            writer.sample(&labels(&[("worker", &number), ("state", state)]), cycles);
        }
    }
    let help = "Packets per poll of a port.";
    writer.family(&Family { name: "lb_worker_burst_packets", kind: Kind::Histogram, help });
    for (number, worker) in workers() {
        let mut polls = 0;
        for (most, count) in &worker.polls {
            polls += count;
            let bucket = labels(&[("worker", &number), ("le", &format!("{most}.0"))]);
            writer.part("_bucket", &bucket, polls);
        }
        writer.part("_bucket", &labels(&[("worker", &number), ("le", "+Inf")]), polls);
        writer.part("_sum", &labels(&[("worker", &number)]), worker.polled);
        writer.part("_count", &labels(&[("worker", &number)]), polls);
    }
}
