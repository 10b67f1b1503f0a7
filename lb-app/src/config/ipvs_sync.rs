//! `[ipvs_sync]`: synchronization of connections with directors of Linux's IPVS.

use super::{options::Said, place::Place, report::Complaint, report::Problems};
use lb_core::{
    option,
    peers::{
        ipvs::{backup, master},
        told,
    },
    service::option::{Kind, Opt},
    words,
};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

/// `[ipvs_sync]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IpvsSync {
    /// The kernel's interface to the network of the group.
    pub(crate) interface: Option<String>,
    /// Which part this director has.
    pub(crate) role: SyncRole,
    /// The number of the synchronization.
    pub(crate) syncid: u32,
    /// Where datagrams go to.
    pub(crate) group: SocketAddr,
    /// How many routers datagrams may pass, and one more.
    pub(crate) ttl: u32,
    /// Connections that are told, and those that are held, at most.
    pub(crate) entries: u32,
    /// Datagrams in a second, at most.
    pub(crate) rate: u32,
}

impl Default for IpvsSync {
    fn default() -> Self {
        IpvsSync {
            interface: None,
            role: SyncRole::Backup,
            syncid: 0,
            group: (Ipv4Addr::new(224, 0, 0, 81), 8_848).into(),
            ttl: 1,
            entries: 131_072,
            rate: 1_000,
        }
    }
}

impl IpvsSync {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            interface,
            Kind::Device,
            "The kernel's interface to the network of the group, with an address: one of the host, or the host side of a \
             port. ipvsadm: `--mcast-interface`. Without one there is no synchronization with IPVS; \
             [docs/sync.md](../docs/sync.md#directors-of-ipvs)."
        )
        .example("\"eth1\""),
        option!(
            role,
            Kind::Word(&["backup", "master", "both"]),
            "`backup`: hold what directors of IPVS tell. `master`: tell them of connections here. ipvsadm: \
             `--start-daemon`."
        ),
        option!(
            syncid,
            Kind::number(0, 255),
            "The number of the synchronization; a backup with 0 takes every number. ipvsadm: `--syncid`."
        ),
        option!(
            group,
            Kind::Listen,
            "Group and port, of IPv4 or IPv6, whatever connections are told of. ipvsadm: `--mcast-group`, `--mcast-port`."
        ),
        option!(ttl, Kind::number(1, 255), "Time to live of datagrams. ipvsadm: `--mcast-ttl`."),
        option!(
            entries,
            Kind::number(1_024, 16_777_216),
            "Connections that directors of IPVS can tell of, and as many that they can be told of, with as many clients of \
             persistent services. 130 bytes each of the former, 700 of the latter. Nothing of this is `[sync]`'s."
        ),
        option!(
            rate,
            Kind::number(10, 1_000_000),
            "Datagrams in a second, at most; one has 38 connections of IPv4, or 19 of IPv6."
        ),
    ];

    /// Whether there is any.
    pub(crate) fn is_on(&self) -> bool {
        self.interface.is_some()
    }

    /// Bytes that it takes, at most.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = if self.is_on() { u64::from(self.entries) } else { 0 };
        let held = if self.role.hears() { told::BYTES + backup::BYTES } else { 0 };
        let told = if self.role.tells() { master::BYTES + master::CLIENT_BYTES } else { 0 };
        entries * (held + told) as u64
    }

    /// What does not go together.
    pub(super) fn check(&self, place: &Place, said: &Said, problems: &Problems) {
        if !self.group.ip().is_multicast() || self.group.port() == 0 {
            let place = said.place("group").unwrap_or(place);
            let remedy = "write it as in `group = \"224.0.0.81:8848\"` or `group = \"[ff02::81]:8848\"`";
            problems.add(place, Complaint::new(format!("{} is no group with a port", self.group), remedy));
        }
    }
}

/// Which part a director has among those of IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncRole {
    /// It is told.
    Backup,
    /// It tells.
    Master,
    /// Both.
    Both,
}

impl SyncRole {
    /// Every role.
    pub(crate) const ALL: [SyncRole; 3] = [SyncRole::Backup, SyncRole::Master, SyncRole::Both];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            SyncRole::Backup => "backup",
            SyncRole::Master => "master",
            SyncRole::Both => "both",
        }
    }

    /// Whether it is told.
    pub(crate) fn hears(self) -> bool {
        matches!(self, SyncRole::Backup | SyncRole::Both)
    }

    /// Whether it tells.
    pub(crate) fn tells(self) -> bool {
        matches!(self, SyncRole::Master | SyncRole::Both)
    }
}

words!(SyncRole);

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
