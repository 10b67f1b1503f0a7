//! `top`: how the live view begins.

use clap::ValueEnum;

/// How the live view begins.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct TopArgs {
    /// Print one frame as text and exit
    #[arg(long)]
    pub once: bool,
    /// Seconds between two frames
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub interval: u64,
    /// What servers are sorted by
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    pub sort: Sort,
    /// Show services and servers that contain this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub filter: String,
}

/// What services are sorted by, and the servers within each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// As configured
    #[default]
    Name,
    /// New connections a second
    Cps,
    /// Packets a second
    Pps,
    /// Bytes a second
    Bps,
    /// Connections that can carry data
    Active,
}

impl Sort {
    /// The next one, round and round.
    pub(crate) fn next(self) -> Self {
        match self {
            Sort::Name => Sort::Cps,
            Sort::Cps => Sort::Pps,
            Sort::Pps => Sort::Bps,
            Sort::Bps => Sort::Active,
            Sort::Active => Sort::Name,
        }
    }

    /// What a screen calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Sort::Name => "configuration",
            Sort::Cps => "connections/s",
            Sort::Pps => "packets/s",
            Sort::Bps => "bytes/s",
            Sort::Active => "active connections",
        }
    }
}
