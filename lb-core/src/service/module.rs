//! Which services a module can read.

use super::plan::{ClientAddress, Method, ModuleKind, Protocol, ServicePlan};
use crate::wire::pptp;
use thiserror::Error;

/// Why a module cannot read a service.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("module \"{module}\" {}; {}", .why.what(), .why.remedy())]
pub struct ModuleMistake {
    /// The module.
    pub module: ModuleKind,
    /// Why.
    pub why: WhyNot,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// It reads another protocol than this.
    Protocol(Protocol),
    /// What it has to hear does not pass here, or it would have to be told in other words.
    Method(Method),
    /// Addresses in text would have to become those of another family.
    Translates,
    /// It reads what clients behind the director say to servers outside.
    Outward,
    /// Both of them shift sequence numbers.
    Told(ClientAddress),
    /// Who takes over a connection that nobody has told of does not know by how much its numbers have moved.
    Adopts,
    /// The same of the numbers of its call.
    AdoptsCalls,
    /// Packets of its calls have no port, so there is one that they are known to go with, of the VIP's and of servers'.
    Ports,
}

impl WhyNot {
    /// What is wrong.
    #[must_use]
    pub fn what(self) -> String {
        match self {
            WhyNot::Protocol(protocol) => format!("does not read {protocol}"),
            WhyNot::Method(method) => {
                format!(
                    "tells no local ports in the place of those of clients' media, and does not go together with {method}"
                )
            }
            WhyNot::Outward => {
                "is for clients on servers behind the director, and has nothing to do in a service".to_owned()
            }
            WhyNot::Translates => {
                "reads addresses that servers tell, and does not translate them into clients' family"
                    .to_owned()
            }
            WhyNot::Told(told) => format!("does not go together with client_address = \"{told}\""),
            WhyNot::Adopts => "moves sequence numbers under nat and fullnat, which a director that adopts a \
                               connection does not know of"
                .to_owned(),
            WhyNot::AdoptsCalls => {
                "gives calls other numbers under nat and fullnat, which a director that adopts a \
                                    connection does not know of"
                    .to_owned()
            }
            WhyNot::Ports => format!("reads connections to port {} only", pptp::PORT),
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            WhyNot::Protocol(_) => "make a service of its own for that",
            WhyNot::Method(_) => {
                "use another method, or have one service of media's ports as well, with persistence"
            }
            WhyNot::Outward => {
                "remove it: clients of a VIP reach one another by DCC without the director. Where servers behind it \
                  are clients of IRC, their [[snat]] rule has `modules = { irc = 6667 }`"
            }
            WhyNot::Translates => "use local addresses and servers of the VIP's family",
            WhyNot::Told(_) => "remove one of them",
            WhyNot::Ports => "have the service and its servers at that port, and no other",
            WhyNot::Adopts => "remove adopt; peers tell one another by how much ([sync])",
            WhyNot::AdoptsCalls => "remove adopt; peers tell one another of them ([sync])",
        }
    }
}

/// Why the module of a service cannot read it, if it has one and that cannot.
#[must_use]
pub fn mistake(service: &ServicePlan) -> Option<ModuleMistake> {
    let module = Some(service.module).filter(|module| module.reads())?;
    let outward = (module == ModuleKind::Irc).then_some(WhyNot::Outward);
    let other = service.reach().protocols().find(|it| !module.reads_protocol(*it)).map(WhyNot::Protocol);
    let method = Some(service.method).filter(|method| !module.reads_method(*method)).map(WhyNot::Method);
    let translates = service.translates().then_some(WhyNot::Translates);
    let told = service.client_address.is_told().then_some(WhyNot::Told(service.client_address));
    let rewrites = service.method.rewrites_endpoints();
    let moves = rewrites && service.reach().protocols().any(|protocol| module.moves_numbers(protocol));
    let renumbers = rewrites && module.reads_calls();
    let adopts = [(moves, WhyNot::Adopts), (renumbers, WhyNot::AdoptsCalls)];
    let adopts = adopts.into_iter().find_map(|(is_so, why)| (service.adopt && is_so).then_some(why));
    let is_control = |port: u16| port == pptp::PORT;
    let is_at_port = service.reach().port().is_some_and(is_control)
        && service.servers.iter().all(|server| is_control(server.port_for(pptp::PORT)));
    let ports = (module.reads_calls() && !is_at_port).then_some(WhyNot::Ports);
    outward
        .or(other)
        .or(method)
        .or(translates)
        .or(told)
        .or(adopts)
        .or(ports)
        .map(|why| ModuleMistake { module, why })
}
