//! What the programs call themselves.

/// The version and the commit it was built from: `0.1.0 (commit 0123456789ab)`.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("LB_COMMIT"), ")");

/// The commit, or `unknown` in a development build and where neither git nor `LB_COMMIT` named one.
pub const COMMIT: &str = env!("LB_COMMIT");
