//! The whole `lb-app` on a port that has packets without end, beside testpmd.
//!
//! * [`traffic`]: the packets, in a file that DPDK's `net_pcap` plays in circles.
//! * [`forwarder`]: lb-app or testpmd as a process: its counters, and its forwarding thread's CPU time.
//! * [`hugepages`]: memory for both.

pub mod forwarder;
pub mod hugepages;
pub mod traffic;
