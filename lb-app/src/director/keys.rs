//! How NAT's packets come to their workers by themselves: by what ports hash, or by keys with which they see one end only.
//!
//! It takes all ports: a client has to come to one worker on each. So either every port hashes one end by itself, or every
//! port gets a key.

use crate::{
    config::Sync,
    dpdk::{RssWish, Spread, port_info::PortInfo, rss},
};
use lb_core::{
    flow::{
        key::Secret,
        zero_window::{End, ZeroWindow, bits_for},
    },
    service::plan::Plan,
};
use std::{net::IpAddr, sync::Arc};

/// What ports are to do.
#[derive(Debug, Default)]
pub(crate) struct Spreading {
    /// The keys of all, if they need some.
    pub(crate) keys: Option<Arc<ZeroWindow>>,
    /// Why, of each.
    pub(crate) why: Vec<String>,
}

/// What keys are drawn from. Directors that tell each other of connections draw the same, so that connections taken over
/// from one another arrive alike, whichever of them restarts; any other draws from a secret that its state file keeps.
///
/// # Errors
/// When the key of `[sync]` cannot be read.
pub(crate) fn seed(sync: &Sync, secret: Secret) -> Result<u64, String> {
    // No epoch of a director's is that one.
    if sync.is_on() { Ok(sync.seal()?.draw(&[u64::MAX, 0])) } else { Ok(secret.0) }
}

/// Chooses for ports with these wishes, names and drivers.
pub(crate) fn choose(
    plan: &Plan,
    wishes: &[RssWish],
    ports: &[(&str, &PortInfo)],
    workers: usize,
    seed: u64,
) -> Spreading {
    let all = || wishes.iter().copied().zip(ports.iter().copied());
    if wishes.iter().all(|wish| wish.end().is_none()) {
        return Spreading { keys: None, why: wishes.iter().map(|&wish| plain(plan, wish)).collect() };
    }
    let queues = workers as u16;
    let is_able =
        |wish: RssWish, info: &PortInfo| rss::expected(wish, false, queues, info) == Spread::ByClient;
    let by_itself = |info: &PortInfo, end: End| format!("{} hashes the {} only", info.driver, name(end));
    if all().all(|(wish, (_, info))| is_able(wish, info)) && tables_agree(ports, workers) {
        let why = |(wish, (_, info)): (RssWish, (_, &PortInfo))| {
            wish.end().map_or_else(String::new, |end| by_itself(info, end))
        };
        return Spreading { keys: None, why: all().map(why).collect() };
    }
    let servers = servers(plan);
    match draw(wishes, ports, queues, seed, &servers) {
        Ok(keys) => {
            let why = |(wish, (_, info)): (RssWish, (&str, &PortInfo))| {
                let Some(end) = wish.end() else { return plain(plan, wish) };
                let (driver, seen) = (&info.driver, name(end));
                let mut why = format!("its key lets {driver} see the {seen} only, by {} bits", keys.bits());
                let away = servers.iter().filter(|&&server| !keys.reaches(server)).count();
                if end == End::Destination && away > 0 {
                    let all = servers.iter().filter(|server| server.is_ipv6()).count();
                    why += &format!("; replies of {away} of {all} IPv6 servers are handed over all the same");
                }
                why
            };
            let why = all().map(why).collect();
            Spreading { keys: Some(Arc::new(keys)), why }
        }
        Err(obstacle) => {
            let why = |(wish, (_, info)): (RssWish, (&str, &PortInfo))| match wish.end() {
                None => plain(plan, wish),
                Some(end) if is_able(wish, info) => {
                    format!("{}; not all ports do, since {obstacle}", by_itself(info, end))
                }
                Some(end) => format!(
                    "{} does not hash the {} only, and keys cannot make it, since {obstacle}",
                    info.driver,
                    name(end)
                ),
            };
            Spreading { keys: None, why: all().map(why).collect() }
        }
    }
}

/// Why a port that is not to see one end is asked for what it is.
fn plain(plan: &Plan, wish: RssWish) -> String {
    let sees_replies = plan.services.iter().any(|service| service.method.sees_replies());
    match wish {
        RssWish::None => "there is one worker",
        RssWish::Flow if sees_replies => BOTH,
        _ => "no service has replies that pass here",
    }
    .to_owned()
}

/// What a port is that has clients and servers behind it, or neither.
const BOTH: &str = "it is not clients only, or servers only, that are behind it";

const fn name(end: End) -> &'static str {
    match end {
        End::Source => "source",
        End::Destination => "destination",
    }
}

/// Keys for all ports, or what is in the way.
fn draw(
    wishes: &[RssWish],
    ports: &[(&str, &PortInfo)],
    queues: u16,
    seed: u64,
    servers: &[IpAddr],
) -> Result<ZeroWindow, String> {
    for (wish, (port, info)) in wishes.iter().zip(ports) {
        let lacks = if wish.end().is_none() { Some(BOTH.to_owned()) } else { rss::lacks_for_keys(info) };
        if let Some(lacks) = lacks {
            return Err(format!("of port {port}: {lacks}"));
        }
    }
    let bits = bits_for(queues, ports.iter().map(|(_, info)| info.reta_size))
        .ok_or_else(|| format!("a redirection table has fewer than {queues} entries"))?;
    let of_ipv6 = servers.iter().filter_map(|server| match server {
        IpAddr::V4(_) => None,
        IpAddr::V6(server) => Some(*server),
    });
    let keys = ZeroWindow::draw(seed, bits, queues, &of_ipv6.collect::<Vec<_>>());
    keys.ok_or_else(|| "no keys that spread well were drawn".to_owned())
}

/// Servers whose replies pass here.
fn servers(plan: &Plan) -> Vec<IpAddr> {
    let services = plan.services.iter().filter(|service| service.method.sees_replies());
    services.flat_map(|service| &service.servers).map(|server| server.address).collect()
}

/// Whether entries that follow one another in turn come to one worker on all ports.
fn tables_agree(ports: &[(&str, &PortInfo)], workers: usize) -> bool {
    let lens: Vec<usize> = ports.iter().map(|(_, info)| usize::from(info.reta_size)).collect();
    let equal = lens.windows(2).all(|pair| pair[0] == pair[1]);
    equal || lens.iter().all(|len| *len > 0 && len.is_multiple_of(workers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::{
        key::ServiceKey,
        plan::{Method, Protocol, ServerPlan, ServicePlan},
    };

    const L4: u64 = dpdk_sys::SHIM_RSS_IPV4_TCP | dpdk_sys::SHIM_RSS_IPV4_UDP;

    fn info(driver: &str, rss_types: u64, reta_size: u16) -> PortInfo {
        PortInfo { reta_size, hash_key_size: 40, ..PortInfo::of_driver(driver, rss_types) }
    }

    fn plan(servers: &[&str]) -> Plan {
        let address = servers[0].parse::<IpAddr>().unwrap();
        let vip: IpAddr = if address.is_ipv4() { "192.0.2.100" } else { "2001:db8:1::100" }.parse().unwrap();
        let mut service =
            ServicePlan::new("web", ServiceKey::new(Protocol::Tcp, (vip, 80).into()), Method::Nat);
        service.servers =
            servers.iter().map(|server| ServerPlan::new(server.parse::<IpAddr>().unwrap(), 80, 1)).collect();
        Plan { services: vec![service], ..Plan::default() }
    }

    const TWO_ARMS: [RssWish; 2] = [RssWish::ClientSource, RssWish::ClientDestination];

    fn two(plan: &Plan, wan: &PortInfo, lan: &PortInfo) -> Spreading {
        choose(plan, &TWO_ARMS, &[("wan", wan), ("lan", lan)], 4, 1)
    }

    #[test]
    fn what_ports_do_by_themselves_comes_first_then_keys_then_flows() {
        let plan = plan(&["198.51.100.11"]);
        let (mlx5, igb) = (info("net_mlx5", u64::MAX, 512), info("net_e1000_igb", L4, 128));
        let chosen = two(&plan, &mlx5, &mlx5);
        assert!(chosen.keys.is_none());
        assert_eq!(chosen.why, ["net_mlx5 hashes the source only", "net_mlx5 hashes the destination only"]);
        // Each has a way of its own, but they have to agree.
        let chosen = two(&plan, &mlx5, &igb);
        assert_eq!(chosen.keys.map(|keys| keys.bits()), Some(7));
        assert_eq!(chosen.why[1], "its key lets net_e1000_igb see the destination only, by 7 bits");
        let ena = info("net_ena", L4, 100);
        let chosen = two(&plan, &mlx5, &ena);
        assert!(chosen.keys.is_none());
        assert_eq!(
            chosen.why,
            [
                "net_mlx5 hashes the source only; not all ports do, since of port lan: net_ena has no redirection table to \
                 set, or none of a power of two",
                "net_ena does not hash the destination only, and keys cannot make it, since of port lan: net_ena has no \
                 redirection table to set, or none of a power of two"
            ]
        );
        let few = info("net_e1000_igb", L4, 2);
        assert!(two(&plan, &few, &few).why[0].ends_with("a redirection table has fewer than 4 entries"));
    }

    #[test]
    fn one_arm_gets_no_keys() {
        let (plan, igb) = (plan(&["198.51.100.11"]), info("net_e1000_igb", L4, 128));
        let chosen = choose(&plan, &[RssWish::Flow], &[("wan", &igb)], 4, 1);
        assert!(chosen.keys.is_none());
        assert_eq!(chosen.why, [BOTH]);
        let wishes = [RssWish::ClientSource, RssWish::Flow];
        let chosen = choose(&plan, &wishes, &[("wan", &igb), ("lan", &igb)], 4, 1);
        assert!(chosen.keys.is_none());
        assert!(
            chosen.why[0]
                .ends_with("of port lan: it is not clients only, or servers only, that are behind it")
        );
        let chosen = choose(&plan, &[RssWish::None], &[("wan", &igb)], 1, 1);
        assert_eq!(chosen.why, ["there is one worker"]);
    }

    #[test]
    fn servers_of_ipv6_whose_replies_are_handed_over_are_told() {
        let igb = info("net_e1000_igb", L4, 128);
        let near = ["2001:db8:2::11", "2001:db8:2::12"];
        assert_eq!(
            two(&plan(&near), &igb, &igb).why[1],
            "its key lets net_e1000_igb see the destination only, by 7 bits"
        );
        let far: Vec<String> = (1..=12).map(|net| format!("2001:db8:{net:x}:{:x}::1", net * 0x357)).collect();
        let far: Vec<&str> = far.iter().map(String::as_str).collect();
        let why = &two(&plan(&far), &igb, &igb).why[1];
        assert!(why.ends_with("of 12 IPv6 servers are handed over all the same"), "{why}");
    }

    #[test]
    fn a_seed_is_the_directors_own_or_that_of_all_peers() {
        assert_eq!(seed(&Sync::default(), Secret(7)), Ok(7));
    }
}
