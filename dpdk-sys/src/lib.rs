//! The few parts of DPDK that the load balancer uses, as raw bindings.
//!
//! `build.rs` lists every DPDK function by name and generates its declaration from the installed headers, so the
//! same source fits 22.11 and 24.11. Whatever is `static inline`, a macro or different between those releases is a
//! function of ours in `shim/`, named `shim_*`. Packets are seen through [`shim_mbuf`], whose layout the shim
//! asserts against DPDK's at compile time.
//!
//! Nothing here is safe to call; the safe interface is `lb-app`'s `dpdk` module.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::multiple_unsafe_ops_per_block,
    clippy::semicolon_if_nothing_returned,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from C"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

/// What `RTE_ETH_RSS_L3_SRC_ONLY` and `RTE_ETH_RSS_L4_SRC_ONLY` are together.
pub const SHIM_RSS_SOURCE_ONLY: u64 = (SHIM_RSS_SOURCE_ONLY_HIGH as u64) << 32;

/// What `RTE_ETH_RSS_L3_DST_ONLY` and `RTE_ETH_RSS_L4_DST_ONLY` are together.
pub const SHIM_RSS_DESTINATION_ONLY: u64 = (SHIM_RSS_DESTINATION_ONLY_HIGH as u64) << 32;
