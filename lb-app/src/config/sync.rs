//! `[sync]`: directors that tell one another of connections whose server does not follow from the configuration.

use super::{options::Said, place::Place, report::Complaint, report::Problems};
use lb_core::{
    option,
    peers::{client, own, seal::Seal, told},
    service::option::{Kind, Opt},
    time::Duration,
};
use std::{
    fs::{self, File},
    io::Read,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Peers, at most.
pub(crate) const MAX_PEERS: usize = 64;

/// `[sync]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    /// The director's own address among its peers.
    pub(crate) listen: Option<SocketAddr>,
    /// The other directors.
    pub(crate) peers: Vec<SocketAddr>,
    /// What datagrams are sealed with.
    pub(crate) key_file: Option<String>,
    /// Own exceptions, and those of all peers together, at most.
    pub(crate) entries: u32,
    /// Datagrams with changes to each peer in a second, at most.
    pub(crate) rate: u32,
    /// How long what a peer told is kept when it is silent.
    pub(crate) hold: Duration,
}

impl Default for Sync {
    fn default() -> Self {
        Sync {
            listen: None,
            peers: Vec::new(),
            key_file: None,
            entries: 131_072,
            rate: 4_000,
            hold: Duration::from_secs(900),
        }
    }
}

impl Sync {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            listen,
            Kind::Listen,
            "UDP address and port of this director, as it is in its peers' `peers`. The kernel has it: an address of the \
             host, or of the host side of a port."
        ),
        option!(
            peers,
            Kind::List(&Kind::Endpoint),
            "The other directors with the same services, by their `listen`, at most 64. They are told of connections whose \
             server they could not find by themselves; [docs/sync.md](../docs/sync.md)."
        )
        .example("[\"10.0.0.12:4789\"]"),
        option!(
            key_file,
            Kind::Text,
            "File with the key that all of them have: 16 to 4,096 bytes, a line break at the end does not count. Readable by \
             nobody else."
        ),
        option!(
            entries,
            Kind::number(1_024, 16_777_216),
            "Connections that peers can be told of, and as many that all peers together can tell of, and as many \
             clients of persistent services. 900 bytes each, allocated in part at start: it takes a restart, as having peers \
             at all does."
        ),
        option!(
            rate,
            Kind::number(10, 1_000_000),
            "Datagrams to each peer in a second, at most; one has about 55 connections of IPv4."
        ),
        option!(
            hold,
            Kind::Timeout,
            "How long what a peer has told is kept once it is silent. A connection that has not moved to another director by \
             then is not known there any more."
        ),
    ];

    /// Whether there are peers.
    pub(crate) fn is_on(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Bytes that it takes, at most.
    pub(crate) fn bytes(&self) -> u64 {
        if self.is_on() {
            u64::from(self.entries) * (told::BYTES + own::BYTES + client::BYTES) as u64
        } else {
            0
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    /// Why it cannot be used, with a remedy.
    pub(crate) fn seal(&self) -> Result<Seal, String> {
        let path = Path::new(self.key_file.as_deref().unwrap_or_default());
        let wrong = |what: String| format!("sync: key_file {}: {what}", path.display());
        let make = "make one: `head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE`";
        let read = || {
            let mut bytes = Vec::new();
            // A little more than is allowed, so that too long a one is noticed.
            File::open(path)?.take(8_192).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let mut bytes = read().map_err(|error| wrong(format!("cannot be read: {error}; {make}")))?;
        while bytes.last().is_some_and(|byte| b"\r\n".contains(byte)) {
            bytes.pop();
        }
        Seal::new(&bytes).ok_or_else(|| wrong(format!("has {} bytes, not 16 to 4,096; {make}", bytes.len())))
    }

    /// Whether the key can be read by others than its owner and group.
    pub(crate) fn key_is_open(&self) -> bool {
        let mode = self.key_file.as_ref().and_then(|path| fs::metadata(path).ok()).map(|meta| meta.mode());
        mode.is_some_and(|mode| mode & 0o007 != 0)
    }

    /// What does not go together.
    pub(super) fn check(&self, place: &Place, said: &Said, problems: &Problems) {
        let at = |key: &str| said.place(key).cloned().unwrap_or_else(|| place.below(key));
        let complain = |key: &str, what: String, remedy: &str| {
            if said.known(key, ()).is_some() {
                problems.add(&at(key), Complaint::new(what, remedy));
            }
        };
        if let Some(path) = self.key_file.as_deref().filter(|path| !path.starts_with('/')) {
            let remedy = "name it from the root, as in `key_file = \"/etc/lb/sync.key\"`";
            complain("key_file", format!("{path} is no path from the root"), remedy);
        }
        if !self.is_on() {
            return;
        }
        if self.peers.len() > MAX_PEERS {
            complain("peers", format!("{} peers, at most {MAX_PEERS}", self.peers.len()), "remove some");
        }
        if self.key_file.is_none() {
            let remedy = "add `key_file = \"/etc/lb/sync.key\"`, the same on all directors";
            complain("key_file", "is missing: peers believe only who has the key".to_owned(), remedy);
        }
        let Some(listen) = self.listen else {
            let remedy = "add `listen`, as in `listen = \"10.0.0.11:4789\"`";
            return complain("listen", "is missing: peers know a director by its address".to_owned(), remedy);
        };
        if listen.ip().is_unspecified() {
            let remedy = "name the address that is in the peers' `peers`";
            complain("listen", format!("{listen} is no address that peers could know it by"), remedy);
        }
        for (number, peer) in self.peers.iter().enumerate() {
            if *peer == listen {
                complain("peers", format!("{peer} is this director itself"), "leave it out");
            } else if peer.is_ipv4() != listen.is_ipv4() {
                let what = format!("{peer} is of another family than `listen`, {listen}");
                complain("peers", what, "use one family for both");
            } else if self.peers[..number].contains(peer) {
                complain("peers", format!("{peer} is there twice"), "leave one out");
            }
        }
    }
}
