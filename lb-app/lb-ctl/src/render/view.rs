//! In which way an answer is shown.

/// How an answer is shown, where there are several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The usual way.
    #[default]
    Plain,
    /// Services, as ipvsadm lists them.
    Services {
        /// Which columns.
        columns: Columns,
        /// With their names, which ipvsadm's listings do not have.
        names: bool,
    },
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
    /// At most this many connections.
    Limit(u64),
}

/// Columns of a listing of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Method, weight, connections.
    Weights,
    /// `--stats`: sums.
    Stats,
    /// `--rate`: per second.
    Rate,
}
