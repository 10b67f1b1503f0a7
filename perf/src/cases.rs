//! The cases that instructions are counted for.

use crate::{
    frame::Frame,
    measure::Order,
    rows::Row,
    scene::{BURST, Scene, Team, Which},
    setup::{PROTOCOLS, Setup},
};
use lb_core::{
    packet::Burst,
    service::plan::{Method, Protocol},
    time::Duration,
    wire::tcp,
};
use std::ops::Range;

/// Connections that are open before anything is counted.
const OPEN: u32 = 4_096;
/// Bursts that are counted of connections that are open: what happens once in a while has little weight, and callgrind
/// is through in a second.
const BURSTS: usize = 200;
/// Connections that are opened while instructions are counted.
const NEW: Range<u32> = OPEN..OPEN + 64 * BURST as u32;

/// What happens in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Packets of connections that are open.
    Established,
    /// The same, and the worker verifies checksums itself.
    Verified,
    /// The same, on one of two workers.
    TwoWorkers,
    /// First packets of connections.
    Open,
    /// The same of datagrams whose connection IDs, of QUIC, are read and name nobody: strangers' ones.
    OpenStrange,
    /// All packets of connections, until they are forgotten.
    Cycle,
    /// First fragments of datagrams of connections that are open.
    First,
    /// Their other fragments.
    Later,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    kind: Kind,
    method: Method,
    protocol: Protocol,
    out: bool,
    is_ipv6: bool,
    /// Servers are of the other family.
    is_translated: bool,
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [
        Kind::Established,
        Kind::Verified,
        Kind::TwoWorkers,
        Kind::Open,
        Kind::OpenStrange,
        Kind::Cycle,
        Kind::First,
        Kind::Later,
    ] {
        for method in Method::OF_CONNECTIONS.iter().copied() {
            for protocol in PROTOCOLS {
                for (is_ipv6, is_translated) in [(false, false), (true, false), (true, true), (false, true)] {
                    for out in [false, true] {
                        cases.push(Case { kind, method, protocol, out, is_ipv6, is_translated });
                    }
                }
            }
        }
    }
    cases.retain(Case::is_meant);
    cases
}

impl Case {
    fn is_meant(&self) -> bool {
        let has_direction = !self.out || self.method.sees_replies();
        // Of IPv6, and between the families, what is compared with IPv4.
        let is_compared =
            self.protocol == Protocol::Tcp && matches!(self.kind, Kind::Established | Kind::Open);
        // Of SNAT, what is compared with FullNAT.
        let is_usual = matches!(self.kind, Kind::Established | Kind::Open | Kind::Cycle);
        has_direction
            && (is_usual || !self.method.is_outward())
            && (is_compared || !self.is_ipv6 && !self.is_translated)
            && (self.method == Method::FullNat || !self.is_translated)
            && match self.kind {
                Kind::Established => true,
                Kind::Verified => !self.out,
                Kind::TwoWorkers => self.protocol == Protocol::Tcp,
                Kind::Open => !self.out,
                Kind::OpenStrange => {
                    !self.out
                        && self.protocol == Protocol::Udp
                        && matches!(self.method, Method::Nat | Method::Tun)
                }
                Kind::Cycle => !self.out && self.protocol == Protocol::Tcp,
                Kind::First | Kind::Later => self.protocol == Protocol::Udp,
            }
    }

    /// What tells it apart, for people and for command lines.
    #[must_use]
    pub fn row(&self) -> Row {
        let case = match self.kind {
            Kind::Established => "established",
            Kind::Verified => "verified",
            Kind::TwoWorkers => "two-workers",
            Kind::Open => "open",
            Kind::OpenStrange => "open-quic",
            Kind::Cycle => "cycle",
            Kind::First => "first-fragment",
            Kind::Later => "later-fragment",
        };
        let family = self.setup().families();
        Row {
            case: format!("{case}{family}"),
            method: Some(self.method.to_string()),
            direction: Some(if self.out { "out" } else { "in" }.to_owned()),
            protocol: Some(self.protocol.to_string()),
            connections: Some(OPEN.into()),
            ..Row::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            verify: self.kind == Kind::Verified,
            reads_ids: self.kind == Kind::OpenStrange,
            spare: NEW.end - NEW.start,
            is_ipv6: self.is_ipv6,
            is_translated: self.is_translated,
            ..Setup::new(self.method, self.protocol, OPEN)
        }
    }

    /// Runs it. Returns how many packets were measured.
    #[must_use]
    pub fn run(&self) -> usize {
        let workers = if self.kind == Kind::TwoWorkers { 2 } else { 1 };
        let mut scene = Team::new(self.setup(), workers).worker(0);
        scene.open();
        match self.kind {
            Kind::Established | Kind::Verified | Kind::TwoWorkers => self.established(&mut scene),
            Kind::Open | Kind::OpenStrange => {
                let first = scene.opening()[0];
                step_through(&mut scene, &[first])
            }
            Kind::Cycle => {
                let packets: Vec<Which> = scene.opening().iter().chain(scene.closing()).copied().collect();
                let count = step_through(&mut scene, &packets);
                forget(&mut scene);
                count
            }
            Kind::First | Kind::Later => self.fragments(&mut scene),
        }
    }

    /// Datagrams of two fragments each. Those of one kind are counted.
    fn fragments(&self, scene: &mut Scene) -> usize {
        let which = if self.out { Which::Out(0) } else { Which::In(0) };
        let mut order = Order::new(OPEN);
        let before = scene.io.transmitted;
        for round in 0..BURSTS {
            let datagrams: [u32; BURST] = std::array::from_fn(|_| order.draw());
            for is_later in [false, true] {
                let mut burst = Burst::new();
                scene.io.take(&mut burst, BURST);
                for ((number, packet), index) in (0..).zip(&mut burst).zip(datagrams) {
                    let id = round * BURST + number;
                    packet.arrive(&scene.head(index, which).fragment(id as u16, is_later));
                }
                match is_later == (self.kind == Kind::Later) {
                    true => measured(scene, &mut burst),
                    false => scene.forward(&mut burst),
                }
            }
        }
        assert_eq!(scene.io.transmitted - before, 2 * (BURSTS * BURST) as u64, "all pass");
        BURSTS * BURST
    }

    fn established(&self, scene: &mut Scene) -> usize {
        let which = if self.out { Which::Out(tcp::ACK) } else { Which::In(tcp::ACK) };
        let mut order = Order::new(OPEN);
        for _ in 0..BURSTS {
            burst(scene, |_| order.draw(), which);
        }
        assert_eq!(scene.io.handed_over, 0, "packets arrive where they belong");
        BURSTS * BURST
    }
}

/// Sends these packets of all new connections. Returns how many that was.
fn step_through(scene: &mut Scene, packets: &[Which]) -> usize {
    for which in packets {
        for start in NEW.step_by(BURST) {
            burst(scene, |number| start + number, *which);
        }
    }
    packets.len() * NEW.len()
}

/// Lets the new connections be forgotten.
fn forget(scene: &mut Scene) {
    let mut rounds = 0;
    while scene.connections() > OPEN as usize {
        scene.now = scene.now + Duration::from_millis(100);
        measured_tick(scene);
        rounds += 1;
        assert!(rounds < 10_000, "they are forgotten");
    }
}

fn burst(scene: &mut Scene, mut index: impl FnMut(u32) -> u32, which: Which) {
    let mut burst = Burst::new();
    scene.io.take(&mut burst, BURST);
    for (number, packet) in (0..).zip(&mut burst) {
        packet.arrive(&scene.head(index(number), which));
    }
    measured(scene, &mut burst);
}

/// Callgrind counts what happens in functions of this name.
#[inline(never)]
fn measured(scene: &mut Scene, burst: &mut Burst<Frame>) {
    scene.forward(burst);
}

/// And of this one.
#[inline(never)]
fn measured_tick(scene: &mut Scene) {
    scene.tick();
}
