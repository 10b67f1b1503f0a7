//! `[announce]`: which VIPs may be sent here, told to routing daemons.

use lb_core::{
    option,
    service::option::{Kind, Opt},
    time::Duration,
    words,
};
use std::fmt;

/// `[announce]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announce {
    /// Where the VIPs are written, if they are.
    pub(crate) file: Option<String>,
    /// The kernel's interface that has them as addresses, if one does.
    pub(crate) interface: Option<String>,
    /// In whose words.
    pub(crate) format: Format,
    /// What is run after each change.
    pub(crate) command: Option<Vec<String>>,
    /// How long they are announced as being about to go, before they are withdrawn.
    pub(crate) gshut: Duration,
    /// How long packets are still forwarded after that.
    pub(crate) settle: Duration,
}

impl Default for Announce {
    fn default() -> Self {
        Announce {
            file: None,
            interface: None,
            format: Format::Bird,
            command: None,
            gshut: Duration::from_secs(1),
            settle: Duration::from_secs(2),
        }
    }
}

impl Announce {
    /// Whether anybody is told of VIPs.
    pub(crate) fn is_on(&self) -> bool {
        self.file.is_some() || self.interface.is_some()
    }

    /// Whether the file can say that a VIP is about to go.
    pub(crate) fn can_say_leaving(&self) -> bool {
        self.file.is_some() && self.format != Format::List
    }

    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            file,
            Kind::Text,
            "File that always has the VIPs that may be sent to this director, replaced in one step whenever they change; \
             [docs/directors.md](../docs/directors.md#announcing)."
        ),
        option!(
            format,
            Kind::Word(&["bird", "frr", "exabgp", "list"]),
            "`bird`: static protocols of BIRD 2 and 3, to be included in its configuration. `frr`: `network` statements for \
             `vtysh -f`. `exabgp`: commands of ExaBGP's interface for processes, for `tail -F`. `list`: a prefix in each \
             line."
        ),
        option!(
            interface,
            Kind::Device,
            "Interface of the kernel that has VIPs as addresses (/32, /128) while they may be sent to this director, for \
             daemons that announce what an interface has. With or without `file`; only addresses that were put there by \
             this are taken away, which takes Linux 5.18 or later after a crash."
        ),
        option!(
            command,
            Kind::Program,
            "Run after each change, and again every 5 s until it succeeds. `LB_ANNOUNCED` and `LB_WITHDRAWN` have the \
             VIPs, `LB_FILE` the file."
        )
        .example("[\"birdc\", \"configure\"]"),
        option!(
            gshut,
            Kind::Duration,
            "When the director drains or ends: how long VIPs have the community GRACEFUL_SHUTDOWN (RFC 8326) before they \
             are withdrawn. With a `file`, and not with `format = \"list\"`."
        ),
        option!(
            settle,
            Kind::Duration,
            "How long the director goes on forwarding after VIPs are withdrawn, until routers send nothing any more."
        ),
    ];
}

/// In whose words VIPs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// BIRD's.
    Bird,
    /// FRR's.
    Frr,
    /// ExaBGP's.
    ExaBgp,
    /// Nobody's: prefixes.
    List,
}

impl Format {
    /// Every format.
    pub(crate) const ALL: [Format; 4] = [Format::Bird, Format::Frr, Format::ExaBgp, Format::List];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Format::Bird => "bird",
            Format::Frr => "frr",
            Format::ExaBgp => "exabgp",
            Format::List => "list",
        }
    }
}

words!(Format);

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
