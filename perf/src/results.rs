//! What results say: a table in markdown, and plots.

use crate::{
    rows::Row,
    svg::{self, Bar, Line},
};
use std::fmt::Write;

/// What others cost above the same port's macswap, from the figures on record for a machine of this kind: flows,
/// name, from, to, in cycles. Those with no port of their own are whole.
const PEERS: [(u64, &str, f64, f64); 10] = [
    (4_096, "DPVS DR", 290.0, 321.0),
    (4_096, "DPVS NAT", 382.0, 416.0),
    (4_096, "VPP lb gre4, whole graph", 123.0, 169.0),
    (4_096, "VPP lb nat4, whole graph", 126.0, 166.0),
    (4_096, "Katran, no I/O", 180.0, 180.0),
    (65_536, "DPVS DR", 549.0, 584.0),
    (65_536, "DPVS NAT", 701.0, 748.0),
    (65_536, "VPP lb gre4, whole graph", 198.0, 290.0),
    (65_536, "VPP lb nat4, whole graph", 211.0, 246.0),
    (65_536, "Katran, no I/O", 606.0, 606.0),
];

/// Cycles a packet over connections.
#[must_use]
pub fn over_connections(rows: &[Row]) -> String {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows.iter().filter(|row| row.case == "established") {
        let (Some(cycles), Some(connections)) = (row.cycles_per_packet, row.connections) else { continue };
        let words = [&row.method, &row.direction, &row.protocol];
        let name = words.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let point = (connections as f64, cycles);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name, points: vec![point] }),
        }
    }
    svg::lines("Pipeline: what a packet of an open connection costs", "connections", "cycles", &lines)
}

/// Cycles above the floor, beside others.
#[must_use]
pub fn above_floor(rows: &[Row], flows: u64) -> String {
    let ours = rows.iter().filter(|row| row.flows == Some(flows)).filter_map(|row| {
        let name = format!("lb-app {}", row.method.clone().unwrap_or_default().to_uppercase());
        Some(Bar { name, value: row.above_floor?, high: None, ours: true })
    });
    let others = PEERS.iter().filter(|peer| peer.0 == flows).map(|(_, name, low, high)| Bar {
        name: (*name).to_owned(),
        value: *low,
        high: (low < high).then_some(*high),
        ours: false,
    });
    let bars: Vec<Bar> = ours.chain(others).collect();
    svg::bars(&format!("Cycles a packet above the port's own, {flows} flows"), &bars)
}

/// The table. Cases with the same figures share one.
#[must_use]
pub fn markdown(groups: &[(String, Vec<Row>)]) -> String {
    let mut text = String::from(
        "# Results\n\nMade by `make bench bench-results`. [What the figures mean](../README.md).\n",
    );
    if let Some(ghz) = groups.iter().flat_map(|group| &group.1).find_map(|row| row.tsc_ghz) {
        let _ = write!(
            text,
            "\nTSC {ghz:.3} GHz. Medians over rounds; `from` and `to` are the lowest and highest round.\n"
        );
    }
    text.push_str("\n![Cycles over connections](connections.svg)\n");
    text.push_str("\n![Cost above the floor, 4,096 flows](floor-4096.svg)\n");
    text.push_str("\n![Cost above the floor, 65,536 flows](floor-65536.svg)\n");
    for (name, rows) in groups {
        let _ = write!(text, "\n## {name}\n");
        let mut last = Vec::new();
        for row in rows {
            let figures = row.figures();
            let names: Vec<&str> = figures.iter().map(|figure| figure.0).collect();
            if names != last {
                let _ =
                    write!(text, "\n| case | {} |\n|---|{}\n", names.join(" | "), "--:|".repeat(names.len()));
                last = names;
            }
            let values: Vec<String> = figures.into_iter().map(|figure| figure.1).collect();
            let _ = writeln!(text, "| {} | {} |", row.key(), values.join(" | "));
        }
    }
    text
}
