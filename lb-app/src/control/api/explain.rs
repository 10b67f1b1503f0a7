//! What would happen to a packet.

use super::{
    answer::{Answer, timeout},
    called,
    keys::meant,
};
use crate::{
    config::bytes,
    control::{
        live::running::Running,
        watch::{WatchError, explain::Imagined},
    },
};
use lb_core::{
    explanation::{self, Portless},
    flow::key::Ends,
    packet::PortId,
    service::{plan::Plan, snapshot::Snapshot},
    wire::{ethernet, tcp},
};
use lb_ctl::protocol::{
    Code, Protocol, Refusal, Reply,
    explain::{Explanation, Flag, Outcome, Packet, Request, Step, Told},
    keys::Target,
};
use std::net::{IpAddr, SocketAddr};

pub(super) fn answer(running: &Running, request: &Request) -> Answer {
    let flags = request.flags.iter().map(|flag| match flag {
        Flag::Syn => tcp::SYN,
        Flag::Ack => tcp::ACK,
        Flag::Fin => tcp::FIN,
        Flag::Rst => tcp::RST,
    });
    let (protocol, portless, destination) = what(&running.current().plan, request)?;
    let source = request.source;
    if source.is_ipv4() != destination.is_ipv4() {
        let what = format!("{source} and {destination} are not of one family");
        return Err(Refusal::new(Code::Invalid, what));
    }
    let quic_id =
        request.quic_id.as_deref().map(|digits| id(digits, request.protocol.transport())).transpose()?;
    let imagined = Imagined {
        quic_id,
        ends: Ends { protocol: meant(protocol), source, destination },
        portless,
        flags: flags.reduce(|all, flag| all | flag),
        on: request
            .port
            .as_deref()
            .map(|name| running.interface_called(name).ok_or_else(|| WatchError::NoPort(name.to_owned())))
            .transpose()
            .map_err(|error| refusal(&error))?,
    };
    let told = running.explain(&imagined).map_err(timeout)?;
    let snapshot = running.current().snapshot;
    let workers = told.iter().map(|explanation| translate(explanation, &snapshot)).collect();
    Ok(Reply::Explanation(Explanation { workers }))
}

/// Which packet is meant, and where it goes. One without ports has a transport protocol that nobody looks at.
fn what(plan: &Plan, request: &Request) -> Result<(Protocol, Option<Portless>, SocketAddr), Refusal> {
    let refuse = |what: String| Err(Refusal::new(Code::Invalid, what));
    let (source, to) = (request.source, &request.destination);
    if request.call.is_some() && request.protocol != Packet::Gre {
        return refuse(
            "`call` is of gre: packets of PPTP's calls, as in `explain gre SRC DST call 7`".to_owned(),
        );
    }
    let (portless, carrier) = match request.protocol {
        Packet::Gre => (Portless::Gre(request.call), Protocol::Tcp),
        Packet::Esp => (Portless::Esp, Protocol::Udp),
        Packet::Ah => (Portless::Ah, Protocol::Udp),
        Packet::Tcp | Packet::Udp | Packet::Sctp | Packet::Icmp => {
            let protocol = request.protocol.transport().unwrap_or(Protocol::Tcp);
            if source.port() == 0 && protocol != Protocol::Icmp {
                let name = meant(protocol).to_string();
                return refuse(format!(
                    "a packet of {name} has a port: write it, as in {}:40000",
                    shown(source.ip())
                ));
            }
            return Ok((protocol, None, called::endpoint(plan, protocol, to)?));
        }
    };
    let address = match to {
        Target::At(to) => Some(*to),
        // Programs may write it without a port.
        Target::Service(name) => name.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0)),
    };
    let to = match address {
        Some(to) => to,
        // The service of the connection that it would go with.
        None => SocketAddr::new(called::endpoint(plan, carrier, to)?.ip(), 0),
    };
    if source.port() != 0 || to.port() != 0 {
        let (from, to) = (source.ip(), to.ip());
        return refuse(format!(
            "a packet of gre, esp or ah has no ports: write the addresses, {from} and {to}"
        ));
    }
    if !request.flags.is_empty() {
        return refuse("flags are of tcp and sctp".to_owned());
    }
    Ok((carrier, Some(portless), to))
}

/// An address as it stands before a port.
fn shown(address: IpAddr) -> String {
    if address.is_ipv4() { address.to_string() } else { format!("[{address}]") }
}

/// The bytes of a connection ID of QUIC.
fn id(digits: &str, protocol: Option<Protocol>) -> Result<Vec<u8>, Refusal> {
    /// RFC 8999 5.1.
    const MOST_LEN: usize = 255;
    if protocol != Some(Protocol::Udp) {
        let what = "a connection ID of QUIC is of udp, and the packet would be of another protocol";
        return Err(Refusal::new(Code::Invalid, what));
    }
    let bytes = bytes(digits).filter(|bytes| bytes.len() <= MOST_LEN);
    bytes.ok_or_else(|| {
        let what = format!(
            "{digits:?} is no connection ID; write pairs of hexadecimal digits, as in 0720b1d07b359d3c"
        );
        Refusal::new(Code::Invalid, what)
    })
}

/// A worker's explanation, in the protocol's terms.
pub(super) fn translate(told: &explanation::Explanation, snapshot: &Snapshot) -> Told {
    let steps = told.steps.iter();
    // The configuration may have changed since.
    let service = told.service.and_then(|id| snapshot.services.get(id));
    let server = told.server.and_then(|id| snapshot.servers.get(id));
    Told {
        worker: told.worker.0.into(),
        service: service.map(|service| service.name.clone()),
        server: server.map(|server| server.plan.endpoint().to_string()),
        known: told.is_known,
        steps: steps
            .map(|step| Step { stage: step.stage.name().to_owned(), text: step.text.clone() })
            .collect(),
        outcome: outcome(&told.outcome, snapshot),
    }
}

/// What happens to a packet, in the protocol's terms.
pub(super) fn outcome(outcome: &explanation::Outcome, snapshot: &Snapshot) -> Outcome {
    let name = |port: &PortId| {
        let plan = snapshot.ports.get(usize::from(port.0));
        plan.map_or_else(|| port.0.to_string(), |plan| plan.name.clone())
    };
    match outcome {
        explanation::Outcome::Sent { port, frame } => Outcome::Sent {
            port: name(port),
            mac: ethernet::destination(frame).to_string(),
            bytes: frame.len() as u64,
        },
        explanation::Outcome::Waits { port, next_hop, .. } => {
            Outcome::Waits { port: name(port), next_hop: *next_hop }
        }
        explanation::Outcome::Held => Outcome::Held,
        explanation::Outcome::Answered { frame } => Outcome::Answered { bytes: frame.len() as u64 },
        explanation::Outcome::HandedOver(to, why) => {
            Outcome::HandedOver { to: to.0.into(), why: why.name().to_owned() }
        }
        explanation::Outcome::Host => Outcome::Host,
        explanation::Outcome::Dropped(reason) => Outcome::Dropped { reason: reason.name().to_owned() },
    }
}

pub(super) fn refusal(error: &WatchError) -> Refusal {
    let code = match error {
        WatchError::Filter(_) | WatchError::Elsewhere { .. } => Code::Invalid,
        WatchError::TooMany(_) => Code::Busy,
        WatchError::Unknown { .. } | WatchError::NoPort(_) => Code::NotFound,
        WatchError::File { error, .. } if error.kind() == std::io::ErrorKind::AlreadyExists => Code::Exists,
        WatchError::File { .. } => Code::Failed,
        WatchError::Silent(_) => Code::Timeout,
    };
    Refusal::new(code, error.to_string())
}
