//! One real server, as the operator wants it and as checks found it.

use super::{Choice, Encapsulation, OwnTunnel};
use crate::{
    limits::MAX_WEIGHT,
    named::named,
    option,
    sched::threshold::Thresholds,
    service::option::{Kind, Opt, PORT, Scope, Setting, Value},
    wire::quic::Name,
};
use std::net::{IpAddr, SocketAddr};

named! {
    /// What the operator wants of a server.
    Admin {
        /// New connections by its weight.
        Enabled = "enabled",
        /// No new connections; existing ones continue.
        Draining = "drain",
        /// Nothing: its connections end with their next packet.
        Disabled = "disabled",
    }
}

/// What is known of a server's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It serves, or nobody checks it.
    #[default]
    Up,
    /// It serves again, with this many thousandths of its weight: slow start.
    Warming(u16),
    /// It does not serve. It gets no new connections, and those that exist end with their next packet.
    Down,
    /// It is down, but keeps its connections and only gets no new ones: keepalived's `inhibit_on_failure`.
    Inhibited,
}

/// What its check or its agent says of a server, beside whether it works. The operator's word counts as well: of two that
/// keep connections away the stricter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The weight that it has in place of the operator's, unless that is 0.
    pub weight: Option<u32>,
    /// What it wants of the server; enabled if nothing.
    pub admin: Admin,
    /// How many connections it may have; 0 is any number.
    pub most: u32,
}

impl Default for Advice {
    fn default() -> Self {
        Advice { weight: None, admin: Admin::Enabled, most: 0 }
    }
}

/// What a server does, everything considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes new connections by its weight.
    Serving,
    /// It takes no new connections; existing ones continue.
    Draining,
    /// Its connections end with their next packet.
    Gone,
}

/// One real server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// Its address.
    pub address: IpAddr,
    /// Its port; that of the service unless the method is NAT or FullNAT. 0 is the port that a packet was sent to.
    pub port: u16,
    /// Its share of new connections, 0 to 65,535; 0 means none.
    pub weight: u32,
    /// What the operator wants of it.
    pub admin: Admin,
    /// What checks found.
    pub health: Health,
    /// What checks and agents say beside that.
    pub advice: Advice,
    /// What the operator says of it; empty if nothing.
    pub description: String,
    /// How its packets are wrapped under TUN, as far as it differs from its service.
    pub tunnel: OwnTunnel,
    /// How many connections it may have.
    pub thresholds: Thresholds,
    /// What connection IDs call it under QUIC-LB.
    pub quic_server_ids: Vec<Name>,
    /// The same under Katran's layout; 0 if nothing.
    pub quic_server_number: u32,
}

impl ServerPlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            address,
            Kind::Address,
            "With `dr`: on an attached network. Otherwise attached or behind a route."
        )
        .required("\"198.51.100.11\""),
        Opt::<Self>::new(
            "port",
            PORT,
            "May differ from the service's with `nat` and `fullnat` only.",
            |server| (server.port > 0).then_some(Value::Number(server.port.into())),
            |server, value| server.port.assign(value),
        )
        .default("the service's; of several, the one that the client sent to"),
        option!(
            weight,
            Kind::number(0, MAX_WEIGHT as u64),
            "Share of new connections. With 0 it gets none; existing connections continue."
        )
        .scope(Scope::Everywhere),
        // Commands say it as well, but then more happens than that the plan changes.
        option!(
            "state" => admin,
            Kind::Word(Admin::NAMES),
            "`drain`: no new connections; existing ones continue. `disabled`: existing ones end as well, each with \
             its next packet; TCP clients are reset."
        ),
        option!(description, Kind::Line, "What it is, for people. Up to 200 characters.")
            .scope(Scope::Everywhere),
        option!(
            "upper_threshold" => thresholds.upper,
            Kind::number(0, u32::MAX as u64),
            "Connections, active and inactive, with which it is full: no new ones until it has fewer than \
             `lower_threshold`. 0: any number. ipvsadm: `-x`."
        )
        .scope(Scope::Everywhere),
        option!(
            "lower_threshold" => thresholds.lower,
            Kind::number(0, u32::MAX as u64),
            "See `upper_threshold`. 0: three quarters of it. ipvsadm: `-y`."
        )
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "tunnel",
            Kind::Word(TUNNELS),
            "What its packets are wrapped in under `tun`, if not as its service says.",
            |server| Some(Value::Text(server.tunnel.kind.map_or(TUNNELS[0], Encapsulation::name).to_owned())),
            |server, value| {
                let Value::Text(word) = value else { return false };
                server.tunnel.kind = word.parse().ok();
                server.tunnel.kind.is_some() || word == TUNNELS[0]
            },
        )
        .scope(Scope::Everywhere),
        option!(
            "tunnel_port" => tunnel.port,
            Kind::number(0, u16::MAX as u64),
            "Its UDP port under `gue` and `gue1`. 0 means the service's."
        )
        .scope(Scope::Everywhere),
        option!(
            "tunnel_checksum" => tunnel.checksum,
            Kind::Word(Choice::NAMES),
            "Whether a checksum in GRE's or UDP's header covers its packets. `default` is as its service says."
        )
        .scope(Scope::Everywhere),
        option!(
            quic_server_ids,
            Kind::List(&Kind::QuicId),
            "Its names in connection IDs of QUIC. With `quic` of layout `quic-lb`: one for each length that configurations \
             have, or several."
        )
        .example("[\"ed793a\"]")
        .scope(Scope::Everywhere),
        option!(
            quic_server_number,
            Kind::number(0, u32::MAX as u64),
            "Its number in connection IDs of QUIC. With `quic` of layout `katran`; 0: none."
        )
        .scope(Scope::Everywhere),
    ];

    /// A server that is enabled and well.
    #[must_use]
    pub fn new(address: impl Into<IpAddr>, port: u16, weight: u32) -> Self {
        ServerPlan {
            address: address.into(),
            port,
            weight,
            admin: Admin::Enabled,
            health: Health::Up,
            advice: Advice::default(),
            description: String::new(),
            tunnel: OwnTunnel::default(),
            thresholds: Thresholds::default(),
            quic_server_ids: Vec::new(),
            quic_server_number: 0,
        }
    }

    /// The port that packets go to which were sent to that one.
    #[inline]
    #[must_use]
    pub const fn port_for(&self, asked: u16) -> u16 {
        if self.port == 0 { asked } else { self.port }
    }

    /// Its address and port: unique among the servers of its service.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Its weight by operator and advice: no advice brings back one that its operator gave the weight 0.
    #[must_use]
    pub const fn advised_weight(&self) -> u32 {
        match self.advice.weight {
            Some(advised) if self.weight > 0 && advised < MAX_WEIGHT => advised,
            Some(_) if self.weight > 0 => MAX_WEIGHT,
            Some(_) | None => self.weight,
        }
    }

    /// What operator and advice want of it: the stricter of the two.
    #[must_use]
    pub const fn advised_admin(&self) -> Admin {
        match (self.admin, self.advice.admin) {
            (Admin::Disabled, _) | (_, Admin::Disabled) => Admin::Disabled,
            (Admin::Draining, _) | (_, Admin::Draining) => Admin::Draining,
            (Admin::Enabled, Admin::Enabled) => Admin::Enabled,
        }
    }

    /// How many connections it may have by operator and advice: the fewer of the two.
    #[must_use]
    pub const fn limits(&self) -> Thresholds {
        match (self.thresholds, self.advice.most) {
            (own, 0) => own,
            (own, most) if own.upper > 0 && own.upper <= most => own,
            // Where the operator's lower one is not below it, it is three quarters, as by default.
            (own, most) => Thresholds { upper: most, lower: if own.lower <= most { own.lower } else { 0 } },
        }
    }

    /// Whether its operator lets it take new connections, and no advice is against it. Then it does, if it is up.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        self.advised_weight() > 0 && matches!(self.advised_admin(), Admin::Enabled)
    }

    /// What it does, everything considered.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match (self.advised_admin(), self.health) {
            (Admin::Disabled, _) | (_, Health::Down) => Standing::Gone,
            (Admin::Draining, _) | (_, Health::Inhibited) => Standing::Draining,
            (Admin::Enabled, Health::Up | Health::Warming(_)) if self.is_wanted() => Standing::Serving,
            (Admin::Enabled, Health::Up | Health::Warming(_)) => Standing::Draining,
        }
    }

    /// The weight that it has now. One that serves at all has at least 1.
    #[must_use]
    pub fn effective_weight(&self) -> u32 {
        self.scaled_weight(1)
    }

    /// The same, `scale` times as fine.
    pub(super) fn scaled_weight(&self, scale: u32) -> u32 {
        match (self.standing(), self.health) {
            (Standing::Serving, Health::Warming(thousandths)) => {
                (self.advised_weight() * scale * u32::from(thousandths.min(1_000)) / 1_000).max(1)
            }
            (Standing::Serving, _) => self.advised_weight() * scale,
            (Standing::Draining | Standing::Gone, _) => 0,
        }
    }
}

/// A service's way to wrap packets, or another.
const TUNNELS: &[&str] = &["default", "ipip", "gre", "gue", "gue1"];

const _: () = assert!(TUNNELS.len() == Encapsulation::ALL.len() + 1, "every kind has its word");
const _: () = assert!(MAX_WEIGHT <= u32::MAX / 1_000, "a weight times a thousandth fits");
const _: () = assert!(MAX_WEIGHT == 65_535, "the documentation of ServerPlan::weight says so");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_and_weight_follow_from_operator_and_health() {
        use Admin::{Disabled, Enabled};
        use Health::{Down, Inhibited, Up, Warming};
        use Standing::{Gone, Serving};
        let server = |weight, admin, health| {
            let server =
                ServerPlan { admin, health, ..ServerPlan::new(std::net::Ipv4Addr::LOCALHOST, 80, weight) };
            (server.standing(), server.effective_weight())
        };
        assert_eq!(server(5, Enabled, Up), (Serving, 5));
        assert_eq!(server(0, Enabled, Up), (Standing::Draining, 0), "weight 0 is drain");
        assert_eq!(server(0, Enabled, Warming(999)), (Standing::Draining, 0));
        assert_eq!(server(65_535, Enabled, Warming(500)), (Serving, 32_767));
        assert_eq!(server(5, Enabled, Warming(1)), (Serving, 1), "a server that serves gets something");
        assert_eq!(server(5, Enabled, Warming(60_000)), (Serving, 5));
        assert_eq!(server(5, Enabled, Inhibited), (Standing::Draining, 0));
        assert_eq!(server(5, Enabled, Down), (Gone, 0));
        assert_eq!(server(5, Admin::Draining, Up), (Standing::Draining, 0));
        assert_eq!(server(5, Admin::Draining, Down), (Gone, 0));
        assert_eq!(server(5, Disabled, Up), (Gone, 0));
    }

    #[test]
    fn advice_counts_beside_what_the_operator_says() {
        use Admin::{Disabled, Draining, Enabled};
        let server = |weight, admin, advice| ServerPlan {
            admin,
            advice,
            ..ServerPlan::new(std::net::Ipv4Addr::LOCALHOST, 80, weight)
        };
        let weight = |weight, advised| {
            let server = server(weight, Enabled, Advice { weight: Some(advised), ..Advice::default() });
            (server.standing(), server.effective_weight(), server.weight)
        };
        assert_eq!(weight(4, 7), (Standing::Serving, 7, 4));
        assert_eq!(weight(4, 0), (Standing::Draining, 0, 4), "it is drained by its weight");
        assert_eq!(weight(0, 7), (Standing::Draining, 0, 0), "an operator's 0 is the last word");
        assert_eq!(weight(4, u32::MAX), (Standing::Serving, MAX_WEIGHT, 4));
        let standing =
            |admin, advised| server(1, admin, Advice { admin: advised, ..Advice::default() }).standing();
        for (admin, advised, is) in [
            (Enabled, Enabled, Standing::Serving),
            (Enabled, Draining, Standing::Draining),
            (Enabled, Disabled, Standing::Gone),
            (Draining, Enabled, Standing::Draining),
            (Draining, Disabled, Standing::Gone),
            (Disabled, Draining, Standing::Gone),
        ] {
            assert_eq!(standing(admin, advised), is, "{admin} and {advised}");
        }
        let limits = |upper, lower, most| {
            let server = server(1, Enabled, Advice { most, ..Advice::default() });
            ServerPlan { thresholds: Thresholds { upper, lower }, ..server }.limits()
        };
        assert_eq!(limits(10, 5, 0), Thresholds { upper: 10, lower: 5 });
        assert_eq!(limits(10, 5, 20), Thresholds { upper: 10, lower: 5 });
        assert_eq!(limits(10, 5, 8), Thresholds { upper: 8, lower: 5 });
        assert_eq!(limits(10, 5, 3), Thresholds { upper: 3, lower: 0 });
        assert_eq!(limits(0, 0, 3), Thresholds { upper: 3, lower: 0 });
    }
}
