//! In which way an answer is shown.

/// In which way an answer is shown, where there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The way that there is.
    #[default]
    Plain,
    /// `--stats`: sums.
    Stats,
    /// `--rate`: a second.
    Rate,
    /// A line for each.
    Summary,
    /// Distribution of polls.
    Histogram,
    /// testpmd's `show config fwd`.
    ConfigForward,
    /// testpmd's `show config rxtx`.
    ConfigRxTx,
    /// testpmd's `show config cores`.
    ConfigCores,
    /// The redirection table.
    Reta,
    /// The hash.
    RssHash,
    /// Packet pools.
    Mempool,
    /// As many connections, at most.
    Limit(u64),
}
