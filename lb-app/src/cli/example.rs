//! `--example`: configurations to start from. They are the files of `conf/`.

use clap::ValueEnum;

/// What an example shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Example {
    /// NAT, with port mapping
    Nat,
    /// FullNAT, where servers cannot have the director as their gateway
    Fullnat,
    /// Direct routing on one network
    Dr,
    /// Direct routing through routers, by DSCP
    L3dsr,
    /// IP-in-IP tunnels
    Tun,
    /// FTP with its data connections
    Ftp,
    /// SIP with its media
    Sip,
    /// IPv6 beside IPv4
    Ipv6,
    /// Clients and servers on VLANs of one port
    Vlan,
    /// Two cards that are one port
    Bond,
    /// Several directors behind a router with static routes
    Ecmp,
    /// Two directors, of which keepalived makes one active
    Vrrp,
    /// What keepalived's and ipvsadm's users ask for, in one file
    Ipvs,
}

impl Example {
    /// The configuration, with comments.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Example::Nat => include_str!("../../../conf/nat.toml"),
            Example::Fullnat => include_str!("../../../conf/fullnat.toml"),
            Example::Dr => include_str!("../../../conf/dr.toml"),
            Example::L3dsr => include_str!("../../../conf/l3dsr.toml"),
            Example::Tun => include_str!("../../../conf/tun.toml"),
            Example::Ftp => include_str!("../../../conf/ftp.toml"),
            Example::Sip => include_str!("../../../conf/sip.toml"),
            Example::Ipv6 => include_str!("../../../conf/ipv6.toml"),
            Example::Vlan => include_str!("../../../conf/vlan.toml"),
            Example::Bond => include_str!("../../../conf/bond.toml"),
            Example::Ecmp => include_str!("../../../conf/ecmp.toml"),
            Example::Vrrp => include_str!("../../../conf/vrrp.toml"),
            Example::Ipvs => include_str!("../../../conf/ipvs.toml"),
        }
    }
}
