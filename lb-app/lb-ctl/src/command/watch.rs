//! Commands that look at packets.

use super::{
    args::{all_or, receiver, sender},
    step::Step,
};
use crate::protocol::{
    Request, capture,
    explain::{self, Flag, Packet},
    keys::Target,
    trace,
};
use crate::render::View;
use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// `explain ...`
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Explain {
    /// Protocol of the packet
    protocol: Packet,
    /// Source of the packet; of gre, esp and ah without a port
    #[arg(value_name = "SRC:PORT", value_parser = sender)]
    source: SocketAddr,
    /// Destination of the packet: an address, or a service by name
    #[arg(value_name = "DST:PORT|SERVICE", value_parser = receiver)]
    destination: Target,
    /// The port or interface it arrives on; by default the one that its source is behind
    #[arg(id = "interface", long = "in", value_name = "PORT|INTERFACE")]
    port: Option<String>,
    /// Its TCP flags; by default those of the connection's next packet, or of one that opens it
    #[arg(long, value_delimiter = ',')]
    flags: Vec<Flag>,
    /// The connection ID of QUIC that a datagram has, in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    quic_id: Option<String>,
    /// The call of PPTP that a packet of GRE is of, as its receiver numbers it
    #[arg(long, value_name = "ID")]
    call: Option<u16>,
}

impl Explain {
    pub(super) fn request(self) -> Request {
        let Explain { protocol, source, destination, port, flags, quic_id, call } = self;
        Request::Explain(explain::Request { protocol, source, destination, flags, port, quic_id, call })
    }
}

/// `trace ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Trace {
    /// Explain matching packets as they pass, until Ctrl-C
    Add {
        /// Which ones, in tcpdump's syntax; "" for all
        #[arg(required = true)]
        filter: Vec<String>,
        /// End after this many packets
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Active traces
    List,
    /// End a trace
    Remove {
        /// Its number
        id: u32,
    },
}

impl Trace {
    pub(super) fn request(self) -> Request {
        Request::Trace(match self {
            Trace::Add { filter, count } => trace::Request::Add { filter: filter.join(" "), count },
            Trace::List => trace::Request::List,
            Trace::Remove { id } => trace::Request::Remove { id },
        })
    }
}

/// `capture ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Capture {
    /// Write packets, before and after, to a new pcapng file or to standard output
    Start {
        /// Number or name of a port, or `all`
        #[arg(id = "port", value_name = "PORT|all")]
        port: String,
        /// Which packets, in tcpdump's syntax; "" for all
        #[arg(required = true)]
        filter: Vec<String>,
        /// Name of the file, which is created in the director's capture directory; `-` for standard output
        #[arg(value_hint = clap::ValueHint::Other)]
        file: PathBuf,
        /// End after this many packets
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// At most this many bytes of each frame
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        snaplen: Option<u32>,
    },
    /// Captures, including ended ones
    List,
    /// End a capture
    Stop {
        /// Its number
        id: u32,
    },
}

impl Capture {
    pub(super) fn step(self) -> Step {
        let request = match self {
            Capture::Start { port, filter, file, count, snaplen } => {
                let (port, filter) = (all_or(port), filter.join(" "));
                if file.as_os_str() == capture::STREAM {
                    return Step::Stream(capture::Request::Stream { port, filter, count, snaplen });
                }
                capture::Request::Start { port, filter, file, count, snaplen }
            }
            Capture::List => capture::Request::List,
            Capture::Stop { id } => capture::Request::Stop { id },
        };
        Step::Ask(Request::Capture(request), View::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse, *};

    fn request(line: &str) -> Request {
        match parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).unwrap().step() {
            Step::Ask(request, _) => request,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn filters_are_words_or_quoted() {
        let trace =
            |filter: &str, count| Request::Trace(trace::Request::Add { filter: filter.into(), count });
        assert_eq!(request("trace add tcp port 80"), trace("tcp port 80", None));
        assert_eq!(request("trace add 'tcp port 80' count 3"), trace("tcp port 80", Some(3)));
        assert_eq!(
            request("trace add tcp and host 192.0.2.1 count 3"),
            trace("tcp and host 192.0.2.1", Some(3))
        );
        assert_eq!(request("trace add \"\""), trace("", None));
        assert!(parse("trace add").is_err());
        let capture = |port: Option<&str>, filter: &str, count, snaplen| {
            let (port, filter, file) = (port.map(Into::into), filter.into(), "a.pcapng".into());
            Request::Capture(capture::Request::Start { port, filter, file, count, snaplen })
        };
        assert_eq!(request("capture start all \"\" a.pcapng"), capture(None, "", None, None));
        assert_eq!(
            request("capture start wan udp port 53 a.pcapng count 10 snaplen 64"),
            capture(Some("wan"), "udp port 53", Some(10), Some(64))
        );
        let stream =
            capture::Request::Stream { port: None, filter: "tcp".into(), count: Some(9), snaplen: None };
        assert_eq!(parse("capture start all tcp - count 9").unwrap().unwrap().step(), Step::Stream(stream));
        assert!(parse("capture start all a.pcapng").is_err());
    }

    #[test]
    fn a_packet_is_described() {
        let line = "explain tcp 203.0.113.10:40000 192.0.2.100:80 in wan flags syn,ack";
        let Request::Explain(packet) = request(line) else { panic!("{line}") };
        assert_eq!((packet.port.as_deref(), packet.flags), (Some("wan"), vec![Flag::Syn, Flag::Ack]));
        assert_eq!(packet.source, "203.0.113.10:40000".parse().unwrap());
        let Request::Explain(packet) = request("explain tcp 203.0.113.10:40000 web") else { panic!() };
        assert_eq!(packet.destination, Target::Service("web".into()));
        let Request::Explain(packet) = request("explain udp 203.0.113.10:40000 web quic-id 0720b1d0") else {
            panic!()
        };
        assert_eq!(packet.quic_id.as_deref(), Some("0720b1d0"));
        // The director says which packets have ports.
        for line in
            ["explain gre 203.0.113.10 192.0.2.100 call 7", "explain gre 2001:db8::1 2001:db8::2 call 7"]
        {
            let Request::Explain(packet) = request(line) else { panic!("{line}") };
            assert_eq!((packet.protocol, packet.source.port(), packet.call), (Packet::Gre, 0, Some(7)));
            assert!(matches!(packet.destination, Target::At(to) if to.port() == 0), "{line}");
        }
        assert!(parse("explain gre 203.0.113.10 192.0.2.100 call 65536").is_err());
        assert!(parse("explain tcp 203.0.113.0/24 192.0.2.100:80").is_err());
        // Who is asked for an echo has no port; the director refuses it of others.
        let Request::Explain(packet) = request("explain icmp 198.51.100.11:7 203.0.113.10:0") else {
            panic!()
        };
        assert_eq!(packet.protocol, Packet::Icmp);
    }
}
