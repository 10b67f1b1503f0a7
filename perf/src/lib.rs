//! What a packet costs, measured three ways: in `lb-core` on packets in memory, in the whole `lb-app` on a port, and
//! in instructions under callgrind.
//!
//! * [`frame`]: a packet buffer as small to move as an mbuf, and an `Io` that gets buffers back at once.
//! * [`setup`]: services, servers and connections of a worker.
//! * [`scene`]: the worker, and the packets to send through it.
//! * [`measure`]: cycles of many bursts, with the generator's own cost taken off.
//! * [`pipeline`]: the cases of the pipeline benchmark.
//! * [`port`]: the whole lb-app on a port, beside testpmd.
//! * [`cases`]: the cases that instructions are counted for.
//! * [`rows`]: results as a table and as JSON.
//! * [`results`]: as markdown and, with [`svg`], as plots.

pub mod cases;
pub mod frame;
pub mod measure;
pub mod pipeline;
pub mod port;
pub mod results;
pub mod rows;
pub mod scene;
pub mod setup;
pub mod svg;
