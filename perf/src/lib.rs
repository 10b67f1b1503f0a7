//! What a packet costs in `lb-core`, measured on packets in memory.
//!
//! * [`frame`]: a packet buffer as small to move as an mbuf, and an `Io` that gets buffers back at once.
//! * [`scene`]: a worker with services, servers and connections, and the packets to send through it.
//! * [`measure`]: cycles of many bursts, with the generator's own cost taken off.
//! * [`rows`]: results as a table and as JSON.

pub mod frame;
pub mod measure;
pub mod rows;
pub mod scene;
