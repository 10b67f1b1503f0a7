//! What an invocation of ipvsadm asks for.

use std::net::{IpAddr, Ipv4Addr};

/// The transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `-t`
    Tcp,
    /// `-u`
    Udp,
    /// `--sctp-service`
    Sctp,
}

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// By protocol, address and port. Port 0 is any.
    Address {
        /// `-t`, `-u` or `--sctp-service`.
        transport: Transport,
        /// Address.
        address: IpAddr,
        /// Port.
        port: u16,
    },
    /// `-f`: by the mark that the kernel gave packets.
    Mark(u32),
}

/// How packets reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// `-m`
    Masquerading,
    /// `-g`
    Gatewaying,
    /// `-i`
    Tunnel,
}

/// The engine of persistence that there is: clients are known by their calls.
pub const SIP: &str = "sip";

/// What is said of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    /// `-s`
    pub scheduler: Option<String>,
    /// `-b`
    pub flags: Vec<String>,
    /// `-p`, in seconds
    pub persistent: Option<u32>,
    /// `-M`
    pub netmask: Option<String>,
    /// `--pe`
    pub engine: Option<String>,
    /// `-o`
    pub one_packet: bool,
}

impl ServiceOptions {
    /// The bits of an address that are one client's: IPVS has a mask for IPv4 and a length for IPv6.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn prefix(&self) -> Result<u32, String> {
        let Some(mask) = &self.netmask else { return Ok(128) };
        let wrong = || {
            format!("-M: {mask:?} is no mask, such as 255.255.255.0, and no length of a prefix, such as 64")
        };
        // Calls may come from any address; else there would be one client.
        let least = u32::from(self.engine.as_deref() != Some(SIP));
        if let Ok(length) = mask.parse::<u32>() {
            return Some(length).filter(|length| (least..=128).contains(length)).ok_or_else(wrong);
        }
        let bits = mask.parse::<Ipv4Addr>().map_err(|_| wrong())?.to_bits();
        let length = bits.leading_ones();
        if length >= least && length == bits.count_ones() { Ok(length) } else { Err(wrong()) }
    }
}

/// What is said of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// `-m`, `-g` or `-i`
    pub forward: Option<Forward>,
    /// `-w`
    pub weight: Option<u32>,
    /// `-x`
    pub upper: u32,
    /// `-y`
    pub lower: u32,
    /// `--tun-type` and what goes with it.
    pub tunnel: TunnelOptions,
}

/// What is said of the tunnel to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelOptions {
    /// `--tun-type`: `ipip`, `gue` or `gre`; also lb-app's own `gue1`.
    pub kind: Option<String>,
    /// `--tun-port`
    pub port: Option<u16>,
    /// `--tun-nocsum` and `--tun-csum`
    pub checksum: Option<bool>,
    /// `--tun-remcsum`
    pub remote_checksum: bool,
}

/// Why remote checksum offload is not there.
pub const NO_REMOTE_CHECKSUM: &str = "servers would compute packets' own checksums anew, and take what was damaged on the way for \
                                      whole; --tun-csum covers the whole packet";

/// What there is instead of the daemon that copies connections.
pub const NO_DAEMON: &str = "lb.toml says who copies connections: [ipvs_sync] with directors of IPVS, [sync] between directors \
                             of lb-app";

/// What a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// `-c`
    pub connections: bool,
    /// `--stats`
    pub stats: bool,
    /// `--rate`
    pub rate: bool,
    /// `--timeout`
    pub timeouts: bool,
    /// `--daemon`
    pub daemon: bool,
    /// `--thresholds`
    pub thresholds: bool,
    /// `--persistent-conn`
    pub persistent: bool,
    /// `--tun-info`
    pub tunnels: bool,
    /// `-X`
    pub exact: bool,
    /// `--nosort`: in the order of the configuration.
    pub unsorted: bool,
}

/// One invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// `-A`
    AddService(Target, ServiceOptions),
    /// `-E`
    EditService(Target, ServiceOptions),
    /// `-D`
    DeleteService(Target),
    /// `-a`
    AddServer(Target, IpAddr, Option<u16>, ServerOptions),
    /// `-e`
    EditServer(Target, IpAddr, Option<u16>, ServerOptions),
    /// `-d`
    DeleteServer(Target, IpAddr, Option<u16>),
    /// `-C`
    Clear,
    /// `-R`
    Restore,
    /// `-S`
    Save,
    /// `-L`
    List(Option<Target>, Listing),
    /// `-Z`
    Zero(Option<Target>),
    /// `--set`: TCP, TCP after FIN, and UDP, in seconds; 0 leaves one as it is.
    Timeouts([u32; 3]),
    /// `--start-daemon` and `--stop-daemon`
    Daemon,
    /// `-h`
    Help,
    /// `--version`
    Version,
}
