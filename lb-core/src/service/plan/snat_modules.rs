//! Which modules read what servers behind a rule of SNAT say to others, by the port that they say it to.

use crate::{
    module::kind::ModuleKind,
    service::{
        option::{Kind, Opt, Value},
        reach::PortRange,
    },
};

/// Ports outside, by the module that reads connections to them. None unless the operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnatModules {
    /// Servers of FTP.
    pub ftp: Vec<PortRange>,
    /// Servers of IRC.
    pub irc: Vec<PortRange>,
}

/// Ports of a list, which is no value if it is empty.
fn shown(ports: &[PortRange]) -> Option<Value> {
    (!ports.is_empty()).then(|| Value::List(ports.iter().map(|ports| ports.to_value()).collect()))
}

fn read(value: &Value) -> Option<Vec<PortRange>> {
    let Value::List(values) = value else { return None };
    values.iter().map(PortRange::from_value).collect()
}

impl SnatModules {
    /// What can be said of them.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        Opt::<Self>::new(
            "ftp",
            Kind::Ports,
            "Ports of FTP servers outside. In active mode they are told the rule's address, and their data connections \
             come back to who asked; in passive mode data leaves with the address that the control connection has.",
            |modules| shown(&modules.ftp),
            |modules, value| read(value).map(|ports| modules.ftp = ports).is_some(),
        )
        .example("21"),
        Opt::<Self>::new(
            "irc",
            Kind::Ports,
            "Ports of IRC servers outside. Who is offered a file or a chat (DCC) is told the rule's address, and one \
             connection from anybody comes back to who offers it.",
            |modules| shown(&modules.irc),
            |modules, value| read(value).map(|ports| modules.irc = ports).is_some(),
        )
        .example("[6667, \"6660-6669\"]"),
    ];

    /// All of them with their ports.
    #[must_use]
    pub fn all(&self) -> [(ModuleKind, &[PortRange]); 2] {
        [(ModuleKind::Ftp, &self.ftp), (ModuleKind::Irc, &self.irc)]
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(|(_, ports)| ports.is_empty())
    }

    /// What reads connections to a port.
    #[must_use]
    pub fn of_port(&self, port: u16) -> ModuleKind {
        let reads = |(_, ports): &(ModuleKind, &[PortRange])| ports.iter().any(|ports| ports.contains(port));
        self.all().into_iter().find(reads).map_or(ModuleKind::None, |(module, _)| module)
    }
}
