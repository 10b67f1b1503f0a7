//! What runs: its facts, and the way to its workers. Everybody who asks or changes anything begins here.
//!
//! * [`running`]: the director that runs.
//! * [`query`]: what only workers know or can do, asked for piece by piece.

pub(crate) mod query;
pub(crate) mod running;
