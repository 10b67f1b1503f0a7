//! DPDK behind types: the only unsafe code of the load balancer outside `dpdk-sys`.
//!
//! * [`eal`]: DPDK itself, started once per process.
//! * [`ethtool`]: what the kernel does to packets of its interfaces.
//! * [`dump`]: packets copied for `dpdk-dumpcap`.
//! * [`noise`]: what DPDK and its drivers print.
//! * [`telemetry`]: questions that DPDK's telemetry socket passes on.
//! * [`lcore`]: a closure on a worker lcore, and the time stamp counter; `lcore_id`: what lcores are called.
//! * [`mempool`], [`mbuf`], [`burst`]: packet buffers, one and many; [`memory`]: how much they take.
//! * [`device`], [`port`], [`started`], [`queue`]: from a device's name to queues that move packets. How a port is
//!   to run (`port_settings`), what it is ([`port_info`]), how it spreads packets over its queues ([`rss`]), what it does to
//!   them while it sends ([`tx_work`]), what it counts ([`stats`]) and what can go wrong ([`port_error`]) have a file each.
//! * [`bond`]: ports made of others; `by_number`: what any port is called and is.
//! * [`mod@ring`]: packets from one thread to one other.
//! * [`peer`]: who is at the other end of a UNIX socket.
//! * [`spawn`]: programs that hold nothing of all this.
//! * [`host_tap`]: the kernel's side of a port.
//! * [`hugealloc`]: an allocator that puts large tables on huge pages.
//!
//! Three rules make the interface safe, and every `SAFETY` comment leans on them:
//! 1. Whatever exists inside DPDK holds an [`eal::Lease`], and DPDK is not shut down while one is out.
//! 2. An [`Mbuf`] is the only handle to a buffer that DPDK has given us and not got back.
//! 3. A queue or a ring's end exists once, belongs to one thread and is used through `&mut`.

#![allow(unreachable_pub, reason = "in a program, `pub` marks what is for the modules beside this one")]

pub mod bond;
pub mod burst;
mod by_number;
pub mod device;
pub mod dump;
pub mod eal;
pub mod ethtool;
pub mod host_tap;
pub mod hugealloc;
pub mod lcore;
mod lcore_id;
pub mod link;
pub mod mbuf;
pub mod memory;
pub mod mempool;
mod noise;
pub mod pause;
pub mod peer;
pub mod port;
pub mod port_error;
pub mod port_info;
mod port_settings;
pub mod queue;
pub mod ring;
pub mod rss;
pub mod spawn;
pub mod started;
pub mod stats;
pub mod telemetry;
pub mod tx_work;

pub use burst::free_bulk;
pub use dump::Dump;
pub use eal::{Eal, version};
pub use hugealloc::HugeAlloc;
pub use lcore::{LcoreHandle, launch, tsc, tsc_hz};
pub use lcore_id::LcoreId;
pub use link::LinkState;
pub use mbuf::Mbuf;
pub use mempool::{Mempool, PoolError};
pub use pause::QueuePause;
pub use port::Port;
pub use port_error::PortError;
pub use port_settings::PortSettings;
pub use queue::{RxQueue, TxQueue};
pub use ring::{Consumer, Producer, RingError, ring};
pub use rss::{RssWish, Spread};
pub use started::StartedPort;
pub use tx_work::{Choice, TxWish, TxWork};

#[cfg(test)]
mod tests;
