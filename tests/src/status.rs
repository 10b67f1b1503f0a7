//! `lb-app`'s status report, read as a person would: by the look of a line, skipping what is not of interest.

use std::net::SocketAddr;

/// A virtual service and its servers.
#[derive(Clone, Debug)]
pub struct ServiceLine {
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Virtual address and port.
    pub address: SocketAddr,
    /// Name of the scheduler.
    pub scheduler: String,
    /// Its servers.
    pub servers: Vec<ServerLine>,
}

/// A real server of a service.
#[derive(Clone, Debug)]
pub struct ServerLine {
    /// Its address and port.
    pub address: SocketAddr,
    /// `Masq`, `Tunnel` or `Route`.
    pub forward: String,
    /// Its weight.
    pub weight: u32,
    /// Established connections.
    pub active: u64,
    /// Other connections.
    pub inactive: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct ConnectionLine {
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Time left, as `minutes:seconds`.
    pub expire: String,
    /// The state in IPVS's words.
    pub state: String,
    /// The client.
    pub source: SocketAddr,
    /// The virtual service.
    pub virtual_address: SocketAddr,
    /// The real server.
    pub destination: SocketAddr,
}

/// A worker's counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerLine {
    /// Packets received from ports.
    pub received: u64,
    /// Packets sent to ports.
    pub sent: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets handed over to another worker.
    pub handed_over: u64,
}

/// A status report.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The report itself.
    pub text: String,
    /// Services in the order of the report.
    pub services: Vec<ServiceLine>,
    /// The connections that the report lists.
    pub connections: Vec<ConnectionLine>,
    /// How many connections there are.
    pub total: Option<u64>,
    /// Workers in the order of the report.
    pub workers: Vec<WorkerLine>,
}

impl Status {
    /// Reads a report.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut status = Self { text: text.to_owned(), ..Self::default() };
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let Some(service) = service(&words) {
                status.services.push(service);
            } else if let Some(server) = server(&words) {
                if let Some(service) = status.services.last_mut() {
                    service.servers.push(server);
                }
            } else if let Some(connection) = connection(&words) {
                status.connections.push(connection);
            } else if let ["total", count, "connections" | "connection", ..] = words[..] {
                status.total = count.parse().ok();
            } else if let Some(worker) = worker(line) {
                status.workers.push(worker);
            }
        }
        status
    }

    /// The connection from a client's port, if it is listed.
    #[must_use]
    pub fn connection_from(&self, source: impl Into<SocketAddr>) -> Option<&ConnectionLine> {
        let source = source.into();
        self.connections.iter().find(|connection| connection.source == source)
    }

    /// The service at a virtual address.
    #[must_use]
    pub fn service_at(&self, address: impl Into<SocketAddr>) -> Option<&ServiceLine> {
        let address = address.into();
        self.services.iter().find(|service| service.address == address)
    }
}

/// Reads a line of the list of connections.
#[must_use]
pub fn read_connection(line: &str) -> Option<ConnectionLine> {
    connection(&line.split_whitespace().collect::<Vec<_>>())
}

fn protocol(word: &str) -> Option<String> {
    matches!(word, "TCP" | "UDP").then(|| word.to_owned())
}

fn service(words: &[&str]) -> Option<ServiceLine> {
    let [first, address, scheduler, ..] = words else { return None };
    // A number there is of the table of traffic.
    if !scheduler.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    Some(ServiceLine {
        protocol: protocol(first)?,
        address: address.parse().ok()?,
        scheduler: (*scheduler).to_owned(),
        servers: Vec::new(),
    })
}

fn server(words: &[&str]) -> Option<ServerLine> {
    let [
        "->",
        address,
        forward @ ("Masq" | "FullNat" | "Tunnel" | "Route" | "L3DSR"),
        weight,
        active,
        inactive,
        ..,
    ] = words
    else {
        return None;
    };
    Some(ServerLine {
        address: address.parse().ok()?,
        forward: (*forward).to_owned(),
        weight: weight.parse().ok()?,
        active: active.parse().ok()?,
        inactive: inactive.parse().ok()?,
    })
}

fn connection(words: &[&str]) -> Option<ConnectionLine> {
    let [first, expire, state, source, virtual_address, destination, ..] = words else { return None };
    Some(ConnectionLine {
        protocol: protocol(first)?,
        expire: (*expire).to_owned(),
        state: (*state).to_owned(),
        source: source.parse().ok()?,
        virtual_address: virtual_address.parse().ok()?,
        destination: destination.parse().ok()?,
    })
}

fn worker(line: &str) -> Option<WorkerLine> {
    let counters = line.trim_start().strip_prefix("worker ")?;
    // The number that follows a word; anything may stand between the pairs.
    let after = |word: &str| -> Option<u64> {
        let (_, rest) = counters.split_once(word)?;
        let rest = rest.trim_start_matches([' ', ':', '=']);
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(WorkerLine {
        received: after("received")?,
        sent: after("sent")?,
        dropped: after("dropped")?,
        handed_over: after("handed-over").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.100:80 rr
  -> 198.51.100.11:8080           Masq    1      2          3
  -> 198.51.100.12:8080           Masq    1      0          4
UDP  192.0.2.101:7 mh
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.0.2.100:80                      9      100      120     9000  123456K
  -> 198.51.100.11:8080                  5       60       70     5000  100000K
  -> 198.51.100.12:8080                  4       40       50     4000   23456K
UDP  192.0.2.101:7                       0        0        0        0        0
Connections
pro expire state       source             virtual            destination
TCP 14:58  ESTABLISHED 192.0.2.10:40000    192.0.2.100:80     198.51.100.11:8080
total 1 connections
worker 0: received 10 sent 7 dropped 1 handed-over 2 waiting 0
  handed over: client 0 reply 2 shared 0
end of status
";

    #[test]
    fn a_report_is_understood() {
        let status = Status::parse(REPORT);
        assert_eq!(status.services.len(), 2);
        let service = status.service_at("192.0.2.100:80".parse::<SocketAddr>().unwrap()).unwrap();
        assert_eq!((service.scheduler.as_str(), service.servers.len()), ("rr", 2));
        assert_eq!((service.servers[0].active, service.servers[0].inactive), (2, 3));
        let connection = status.connection_from("192.0.2.10:40000".parse::<SocketAddr>().unwrap()).unwrap();
        assert_eq!((connection.state.as_str(), connection.expire.as_str()), ("ESTABLISHED", "14:58"));
        assert_eq!(status.total, Some(1));
        let worker = status.workers[0];
        assert_eq!((worker.received, worker.sent, worker.dropped, worker.handed_over), (10, 7, 1, 2));
    }
}
