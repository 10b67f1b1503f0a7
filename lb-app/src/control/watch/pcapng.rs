//! Captured frames in a file: pcapng, one interface for each direction of each port.

use crate::dataplane::tap::capture::Frame;
use pcap_file::{
    DataLink, Endianness, PcapError, PcapResult,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};
use std::{borrow::Cow, io::Write, time::Duration};

/// Time stamps count nanoseconds: 10^-9 s.
const NANOSECONDS: u8 = 9;
/// What `if_filter` holds: an expression of libpcap's.
const EXPRESSION: u8 = 0;

/// A capture file in the making.
pub(super) struct File<W: Write> {
    writer: PcapNgWriter<W>,
}

impl<W: Write> File<W> {
    /// Writes the header and the interfaces: for each port what arrives and what leaves.
    pub(super) fn begin(out: W, ports: &[String], filter: &str, snaplen: usize) -> PcapResult<Self> {
        // Big endian, because that is how the crate writes the time of statistics right.
        let version = concat!("lb-app ", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            endianness: Endianness::Big,
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(version))],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(out, section)?;
        for port in ports {
            for (direction, what) in [("rx", "packets as they arrived"), ("tx", "packets as they left")] {
                let expression = [&[EXPRESSION], filter.as_bytes()].concat();
                let mut options = vec![
                    InterfaceDescriptionOption::IfName(Cow::Owned(format!("{port}-{direction}"))),
                    InterfaceDescriptionOption::IfDescription(Cow::Borrowed(what)),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ];
                if !filter.is_empty() {
                    options.push(InterfaceDescriptionOption::IfFilter(Cow::Owned(expression)));
                }
                writer.write_pcapng_block(InterfaceDescriptionBlock {
                    linktype: DataLink::ETHERNET,
                    snaplen: snaplen as u32,
                    options,
                })?;
            }
        }
        Ok(File { writer })
    }

    pub(super) fn frame(&mut self, frame: &Frame) -> PcapResult<()> {
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: frame.interface as u32,
            timestamp: frame.when,
            original_len: frame.len as u32,
            data: Cow::Borrowed(&frame.bytes),
            options: Vec::new(),
        })?;
        Ok(())
    }

    /// Hands what was written to the file.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        self.writer.get_mut().flush()
    }

    /// Writes what each interface has seen and what was missed.
    pub(super) fn end(mut self, now: Duration, interfaces: &[(u64, u64)]) -> PcapResult<()> {
        for (interface, &(seen, missed)) in (0..).zip(interfaces) {
            self.writer.write_pcapng_block(InterfaceStatisticsBlock {
                interface_id: interface,
                timestamp: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
                options: vec![
                    InterfaceStatisticsOption::IsbIfRecv(seen),
                    InterfaceStatisticsOption::IsbIfDrop(missed),
                ],
            })?;
        }
        self.writer.get_mut().flush().map_err(PcapError::IoError)?;
        Ok(())
    }
}
