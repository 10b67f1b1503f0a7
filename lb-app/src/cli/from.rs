//! `--import`: whose files become a configuration.

use clap::ValueEnum;

/// Whose files they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// keepalived.conf
    Keepalived,
    /// What `ipvsadm -S -n` prints, and scripts that call ipvsadm
    Ipvsadm,
    /// dpvs.conf, and scripts that call dpip and DPVS's ipvsadm
    Dpvs,
}
