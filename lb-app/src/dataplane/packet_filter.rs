//! Which packets somebody wants to see: expressions in the syntax of tcpdump, which libpcap compiles and runs.

use pcap::{BpfProgram, Capture, Linktype};
use std::fmt;

/// Longest expression.
const MAX_LEN: usize = 4_096;

/// A compiled expression.
pub(crate) struct PacketFilter {
    /// None for the expression that every packet matches.
    program: Option<BpfProgram>,
}

impl PacketFilter {
    /// Compiles an expression in tcpdump's syntax, `pcap-filter(7)`. The empty one matches every packet.
    ///
    /// # Errors
    /// A sentence for the operator, with libpcap's own words.
    pub(crate) fn compile(expression: &str) -> Result<Self, String> {
        if expression.trim().is_empty() {
            return Ok(PacketFilter { program: None });
        }
        if expression.len() > MAX_LEN || expression.contains('\0') {
            return Err(format!("invalid filter: use at most {MAX_LEN} characters, without NUL"));
        }
        let whole = Capture::dead(Linktype::ETHERNET).and_then(|dead| dead.compile(expression, true));
        match whole {
            Ok(program) => Ok(PacketFilter { program: Some(program) }),
            Err(error) => Err(format!("invalid filter {expression:?}: {}", words(&error))),
        }
    }

    /// Whether a frame matches. The program is classic BPF, which has no loops: its time is bounded by its length.
    pub(super) fn matches(&self, frame: &[u8]) -> bool {
        self.program.as_ref().is_none_or(|program| program.filter(frame))
    }
}

/// libpcap's complaint without the crate's wrapping.
fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

impl fmt::Debug for PacketFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.program.is_some() { "PacketFilter" } else { "PacketFilter(all)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP packet from 192.0.2.1:1000 to 192.0.2.2:53.
    fn frame() -> Vec<u8> {
        let ethernet = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].concat();
        let ip = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let udp = [0x03, 0xe8, 0, 53, 0, 8, 0, 0];
        [&ethernet[..], &[8, 0], &ip, &udp].concat()
    }

    #[test]
    fn expressions_are_tcpdumps() {
        for (expression, expected) in [
            ("", true),
            ("udp port 53", true),
            ("host 192.0.2.1 and not tcp", true),
            ("tcp", false),
            ("src host 192.0.2.2", false),
            ("udp[4:2] = 8", true),
            ("len > 100", false),
        ] {
            assert_eq!(
                PacketFilter::compile(expression).unwrap().matches(&frame()),
                expected,
                "{expression}"
            );
            // Cut-off frames match or not, and harm nobody.
            PacketFilter::compile(expression).unwrap().matches(&frame()[..20]);
        }
        let error = PacketFilter::compile("porrt 53").unwrap_err();
        assert!(error.contains("porrt 53") && error.contains("syntax error"), "{error}");
        assert!(PacketFilter::compile(&"tcp or ".repeat(1_000)).unwrap_err().contains("at most"));
    }
}
