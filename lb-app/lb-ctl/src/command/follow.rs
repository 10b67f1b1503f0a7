//! `watch`: events as they happen.

use clap::Args;

/// `watch ...`
#[derive(Clone, Debug, PartialEq, Args)]
pub struct WatchArgs {
    /// Begin with the latest so many
    #[arg(long, value_name = "N", default_value_t = 10)]
    count: u32,
}

impl WatchArgs {
    pub(super) fn latest(&self) -> u32 {
        self.count
    }
}
