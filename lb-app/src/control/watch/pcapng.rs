//! Captured frames as pcapng: one interface for each direction of each port.
//!
//! The format is that of draft-ietf-opsawg-pcapng. Blocks are made whole and given on whole, so that what reads a capture
//! while it is written, or after its director has died, finds no block that is cut off.

use crate::dataplane::tap::capture::Frame;
use std::{
    io::{self, Write},
    time::Duration,
};

/// Time stamps count nanoseconds: 10^-9 s.
const NANOSECONDS: u8 = 9;
/// What `if_filter` holds: an expression of libpcap's.
const EXPRESSION: u8 = 0;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

/// Types of blocks.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Codes of options, which each block has its own of.
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Blocks that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<u8>);

impl Blocks {
    /// The header and the interfaces: for each port what arrives and what leaves.
    pub(super) fn begin(ports: &[String], filter: &str, snaplen: usize) -> Self {
        let mut blocks = Blocks::default();
        let version = concat!("lb-app ", env!("CARGO_PKG_VERSION"));
        blocks.block(SECTION_HEADER, |body| {
            // The order of bytes, the format's version, and a length that is not known.
            number(body, 0x1a2b_3c4d_u32.to_le_bytes());
            number(body, 1_u16.to_le_bytes());
            number(body, 0_u16.to_le_bytes());
            number(body, u64::MAX.to_le_bytes());
            options(body, &[(SHB_USERAPPL, version.as_bytes())]);
        });
        let expression = [&[EXPRESSION], filter.as_bytes()].concat();
        for port in ports {
            for (direction, what) in [("rx", "packets as they arrived"), ("tx", "packets as they left")] {
                let name = format!("{port}-{direction}");
                let mut all: Vec<(u16, &[u8])> = vec![
                    (IF_NAME, name.as_bytes()),
                    (IF_DESCRIPTION, what.as_bytes()),
                    (IF_TSRESOL, &[NANOSECONDS]),
                ];
                if !filter.is_empty() {
                    all.push((IF_FILTER, &expression));
                }
                blocks.block(INTERFACE_DESCRIPTION, |body| {
                    number(body, ETHERNET.to_le_bytes());
                    number(body, 0_u16.to_le_bytes());
                    number(body, (snaplen as u32).to_le_bytes());
                    options(body, &all);
                });
            }
        }
        blocks
    }

    pub(super) fn frame(&mut self, frame: &Frame) {
        self.block(ENHANCED_PACKET, |body| {
            number(body, (frame.interface as u32).to_le_bytes());
            time(body, frame.when);
            number(body, (frame.bytes.len() as u32).to_le_bytes());
            number(body, (frame.len as u32).to_le_bytes());
            padded(body, &frame.bytes);
        });
    }

    /// What each interface has seen and what was missed.
    pub(super) fn end(&mut self, now: Duration, interfaces: &[(u64, u64)]) {
        for (interface, &(seen, missed)) in (0_u32..).zip(interfaces) {
            self.block(INTERFACE_STATISTICS, |body| {
                number(body, interface.to_le_bytes());
                time(body, now);
                options(body, &[(ISB_IFRECV, &seen.to_le_bytes()), (ISB_IFDROP, &missed.to_le_bytes())]);
            });
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes what waits. Then nothing does.
    pub(super) fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.0)?;
        self.0.clear();
        Ok(())
    }

    /// What waits, to be given on in another way.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let bytes = &mut self.0;
        let start = bytes.len();
        number(bytes, kind.to_le_bytes());
        number(bytes, [0; 4]);
        body(bytes);
        // The length at both ends, so that readers can go back.
        let length = ((bytes.len() - start + 4) as u32).to_le_bytes();
        bytes[start + 4..start + 8].copy_from_slice(&length);
        number(bytes, length);
    }
}

fn number<const N: usize>(body: &mut Vec<u8>, bytes: [u8; N]) {
    body.extend_from_slice(&bytes);
}

/// The two halves, higher one first.
fn time(body: &mut Vec<u8>, since_1970: Duration) {
    let ns = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
    number(body, ((ns >> 32) as u32).to_le_bytes());
    number(body, (ns as u32).to_le_bytes());
}

fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    body.resize(body.len() + bytes.len().wrapping_neg() % 4, 0);
}

fn options(body: &mut Vec<u8>, all: &[(u16, &[u8])]) {
    for (code, value) in all {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        number(body, code.to_le_bytes());
        number(body, (value.len() as u16).to_le_bytes());
        padded(body, value);
    }
    // `opt_endofopt`.
    number(body, [0; 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bodies of the blocks, by type; whether lengths are right at both ends is checked on the way.
    fn bodies(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (kind, length) = (word(bytes), word(&bytes[4..]) as usize);
            assert_eq!((length % 4, word(&bytes[length - 4..]) as usize), (0, length));
            all.push((kind, bytes[8..length - 4].to_vec()));
            bytes = &bytes[length..];
        }
        all
    }

    #[test]
    fn blocks_are_those_of_the_format() {
        let mut blocks = Blocks::begin(&["wan".to_owned()], "tcp", 96);
        let header = bodies(&blocks.take());
        let kinds: Vec<u32> = header.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, INTERFACE_DESCRIPTION]);
        assert_eq!(
            header[0].1[..16],
            [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]
        );
        assert_eq!(header[1].1[..8], [1, 0, 0, 0, 96, 0, 0, 0]);
        let text = String::from_utf8_lossy(&header[2].1);
        assert!(text.contains("wan-tx") && text.contains("tcp") && text.contains("as they left"), "{text}");

        let frame = Frame { interface: 1, when: Duration::new(5, 7), len: 60, bytes: vec![9; 5] };
        blocks.frame(&frame);
        let ns = 5_000_000_007_u64;
        let expected: Vec<u8> = [1, (ns >> 32) as u32, ns as u32, 5, 60]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .chain([9, 9, 9, 9, 9, 0, 0, 0])
            .collect();
        assert_eq!(bodies(&blocks.take()), [(ENHANCED_PACKET, expected)]);

        blocks.end(Duration::ZERO, &[(3, 1)]);
        let (kind, body) = &bodies(&blocks.take())[0];
        assert_eq!(*kind, INTERFACE_STATISTICS);
        assert_eq!(
            body[12..],
            [4, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(blocks.len(), 0);
    }
}
