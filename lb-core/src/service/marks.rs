//! Which VIP a DSCP stands for, under L3DSR: at each server one, or it could not tell packets for one VIP from those for
//! another. Different servers may know different VIPs by one DSCP. And which service a mark of a firewall stands for, at
//! directors of IPVS.

use super::plan::ServicePlan;
use std::{collections::HashMap, net::IpAddr};
use thiserror::Error;

/// A DSCP at a server.
pub type Mark = (u8, IpAddr);

/// What stands for two things.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Clash {
    /// A DSCP stands for two VIPs at one server.
    #[error(
        "DSCP {dscp} would stand for both {one} and {other} at server {server}; use another number for one of them"
    )]
    Dscp {
        /// The DSCP.
        dscp: u8,
        /// The server.
        server: IpAddr,
        /// One VIP.
        one: IpAddr,
        /// The other.
        other: IpAddr,
    },
    /// Directors of IPVS would know two services by one mark of the firewall.
    #[error(
        "directors of IPVS would know both service {one:?} and service {other:?} by mark {fwmark}; use another number for one"
    )]
    Fwmark {
        /// The mark.
        fwmark: u32,
        /// A service.
        one: String,
        /// The other.
        other: String,
    },
}

/// The marks of a service: its DSCP at its servers, and at others that may stand in for them. None, unless the method marks
/// packets.
pub fn marks(
    service: &ServicePlan,
    others: impl IntoIterator<Item = IpAddr>,
) -> impl Iterator<Item = (Mark, IpAddr)> {
    let servers = service.servers.iter().map(|server| server.address).chain(others);
    let is_marked = service.method.marks() && service.dscp > 0;
    servers.filter(move |_| is_marked).map(move |server| ((service.dscp, server), service.vip))
}

/// Checks that each mark stands for one VIP.
///
/// # Errors
/// The first that does not.
pub fn check_marks(marks: impl Iterator<Item = (Mark, IpAddr)>) -> Result<(), Clash> {
    let mut known = HashMap::new();
    for (mark, other) in marks {
        let one = *known.entry(mark).or_insert(other);
        if one != other {
            let (dscp, server) = mark;
            return Err(Clash::Dscp { dscp, server, one, other });
        }
    }
    Ok(())
}

/// Checks that a mark of the firewall is one service's, in each family.
///
/// # Errors
/// The first that is not.
pub fn check_fwmarks(services: &[ServicePlan]) -> Result<(), Clash> {
    let mut known = HashMap::new();
    for service in services.iter().filter(|service| service.fwmark != 0) {
        let one = *known.entry((service.fwmark, service.vip.is_ipv4())).or_insert(&service.name);
        if *one != service.name {
            let (one, other) = (one.clone(), service.name.clone());
            return Err(Clash::Fwmark { fwmark: service.fwmark, one, other });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conn::method::Method,
        service::{
            key::{Protocol, ServiceKey},
            plan::ServerPlan,
        },
    };

    /// A service of a VIP and port at servers, known by their last bytes.
    fn service((vip, port, dscp): (u8, u16, u8), servers: &[u8]) -> ServicePlan {
        let key = ServiceKey::new(Protocol::Tcp, ([192, 0, 2, vip], port).into());
        let servers =
            servers.iter().map(|server| ServerPlan::new([198, 51, 100, *server], port, 1)).collect();
        ServicePlan { dscp, servers, ..ServicePlan::new("web", key, Method::L3Dsr) }
    }

    #[test]
    fn a_dscp_stands_for_one_vip_at_each_server() {
        let check = |one: &ServicePlan, other: &ServicePlan, sorry: Option<u8>| {
            let sorry = sorry.map(|server| [198, 51, 100, server].into());
            check_marks(marks(one, []).chain(marks(other, sorry)))
        };
        let web = service((100, 80, 11), &[11, 12]);
        assert_eq!(check(&web, &service((100, 443, 11), &[11]), None), Ok(()), "another port of the VIP");
        assert_eq!(check(&web, &service((100, 443, 12), &[11]), None), Ok(()), "a VIP may have several");
        assert_eq!(check(&web, &service((101, 80, 12), &[11]), None), Ok(()));
        assert_eq!(check(&web, &service((101, 80, 11), &[13]), None), Ok(()), "other servers");
        let clash = check(&web, &service((101, 80, 11), &[13, 12]), None).unwrap_err();
        let text = "DSCP 11 would stand for both 192.0.2.100 and 192.0.2.101 at server 198.51.100.12; use another number \
                    for one of them";
        assert_eq!(clash.to_string(), text);
        assert!(
            check(&web, &service((101, 80, 11), &[13]), Some(11)).is_err(),
            "which a sorry server is, too"
        );
        let nat = ServicePlan { method: Method::Nat, ..service((101, 80, 11), &[11]) };
        assert_eq!(check(&web, &nat, None), Ok(()), "nobody marks its packets");
    }
}
