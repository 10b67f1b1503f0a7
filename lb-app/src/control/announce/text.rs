//! What the file says.

use crate::config::Format;
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
};

/// How a VIP stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Announced,
    /// Announced as being about to go: with the community GRACEFUL_SHUTDOWN, RFC 8326.
    Leaving,
    /// Formats that say what there is leave it out. Those that say what changes have to say that it is gone, for a daemon
    /// that heard of it earlier.
    Withdrawn,
}

/// All VIPs that the reader may know of.
pub(super) type Standings = BTreeMap<IpAddr, Standing>;

/// The file with these VIPs.
pub(super) fn text(format: Format, vips: &Standings) -> String {
    match format {
        Format::Bird => bird(vips),
        Format::Frr => frr(vips),
        Format::ExaBgp => exabgp(vips),
        Format::List => {
            let announced = vips.iter().filter(|(_, standing)| **standing != Standing::Withdrawn);
            announced.fold(String::new(), |text, (vip, _)| text + &prefix(*vip) + "\n")
        }
    }
}

/// VIPs that a file of any format names, but those it says are withdrawn if `all` is not set.
pub(super) fn named(text: &str, all: bool) -> BTreeSet<IpAddr> {
    let lines = text.lines().filter(|line| all || !line.contains("withdraw"));
    let nets = lines.flat_map(str::split_whitespace).filter_map(|word| word.parse::<IpNet>().ok());
    nets.filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr()).collect()
}

const HEAD: &str = "Written by lb-app: the VIPs that may be sent to this director.";

/// Static protocols, so that BIRD's own configuration says to whom they are exported. There is always one for IPv4: what
/// names it in a filter is right without VIPs, too.
fn bird(vips: &Standings) -> String {
    let mut text = format!("# {HEAD}\n");
    for (name, channel, is_ipv4) in [("lb_vips4", "ipv4", true), ("lb_vips6", "ipv6", false)] {
        let of_family = of_family(vips, is_ipv4);
        let mut routes = of_family.filter(|(_, standing)| *standing != Standing::Withdrawn).peekable();
        if routes.peek().is_none() && !is_ipv4 {
            continue;
        }
        let _ = writeln!(text, "protocol static {name} {{\n  {channel};");
        for (vip, standing) in routes {
            let attributes = match standing {
                Standing::Leaving => " { bgp_community.add((65535, 0)); }",
                _ => "",
            };
            let _ = writeln!(text, "  route {} blackhole{attributes};", prefix(vip));
        }
        text.push_str("}\n");
    }
    text
}

/// Networks of the one BGP process. A route map says how each stands, as `no network` fails for one that is not there.
fn frr(vips: &Standings) -> String {
    let mut text = format!(
        "! {HEAD}\nroute-map lb-announced permit 10\nexit\nroute-map lb-leaving permit 10\n \
         set community graceful-shutdown additive\nexit\nroute-map lb-withdrawn deny 10\nexit\nrouter bgp\n"
    );
    for (family, is_ipv4) in [("ipv4", true), ("ipv6", false)] {
        let mut vips = of_family(vips, is_ipv4).peekable();
        if vips.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, " address-family {family} unicast");
        for (vip, standing) in vips {
            let map = match standing {
                Standing::Announced => "lb-announced",
                Standing::Leaving => "lb-leaving",
                Standing::Withdrawn => "lb-withdrawn",
            };
            let _ = writeln!(text, "  network {} route-map {map}", prefix(vip));
        }
        text.push_str(" exit-address-family\n");
    }
    text + "exit\n"
}

/// Commands of its interface for processes. A line that it knows already changes nothing.
fn exabgp(vips: &Standings) -> String {
    let mut text = String::new();
    for (vip, standing) in vips {
        let (word, attributes) = match standing {
            Standing::Announced => ("announce", ""),
            Standing::Leaving => ("announce", " community [65535:0]"),
            Standing::Withdrawn => ("withdraw", ""),
        };
        let _ = writeln!(text, "{word} route {} next-hop self{attributes}", prefix(*vip));
    }
    text
}

fn of_family(vips: &Standings, is_ipv4: bool) -> impl Iterator<Item = (IpAddr, Standing)> {
    vips.iter().map(|(vip, standing)| (*vip, *standing)).filter(move |(vip, _)| vip.is_ipv4() == is_ipv4)
}

fn prefix(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Announced, Leaving, Withdrawn};

    fn standings(vips: &[(&str, Standing)]) -> Standings {
        vips.iter().map(|(vip, standing)| (vip.parse().unwrap(), *standing)).collect()
    }

    fn some() -> Standings {
        standings(&[
            ("192.0.2.100", Announced),
            ("192.0.2.101", Leaving),
            ("192.0.2.102", Withdrawn),
            ("2001:db8::1", Announced),
        ])
    }

    #[test]
    fn birds_file_has_static_protocols() {
        assert_eq!(
            text(Format::Bird, &some()),
            "# Written by lb-app: the VIPs that may be sent to this director.\n\
             protocol static lb_vips4 {\n  ipv4;\n  route 192.0.2.100/32 blackhole;\n  \
             route 192.0.2.101/32 blackhole { bgp_community.add((65535, 0)); };\n}\n\
             protocol static lb_vips6 {\n  ipv6;\n  route 2001:db8::1/128 blackhole;\n}\n"
        );
        let none = standings(&[("192.0.2.102", Withdrawn), ("2001:db8::1", Withdrawn)]);
        assert!(text(Format::Bird, &none).ends_with("protocol static lb_vips4 {\n  ipv4;\n}\n"));
        assert_eq!(text(Format::List, &some()), "192.0.2.100/32\n192.0.2.101/32\n2001:db8::1/128\n");
        assert_eq!(text(Format::List, &none), "");
    }

    #[test]
    fn frrs_file_says_of_each_vip_how_it_stands() {
        let head = "! Written by lb-app: the VIPs that may be sent to this director.\n\
                    route-map lb-announced permit 10\nexit\n\
                    route-map lb-leaving permit 10\n set community graceful-shutdown additive\nexit\n\
                    route-map lb-withdrawn deny 10\nexit\nrouter bgp\n";
        assert_eq!(
            text(Format::Frr, &some()),
            format!(
                "{head} address-family ipv4 unicast\n  network 192.0.2.100/32 route-map lb-announced\n  \
                 network 192.0.2.101/32 route-map lb-leaving\n  network 192.0.2.102/32 route-map lb-withdrawn\n \
                 exit-address-family\n address-family ipv6 unicast\n  \
                 network 2001:db8::1/128 route-map lb-announced\n exit-address-family\nexit\n"
            )
        );
        assert_eq!(text(Format::Frr, &Standings::new()), format!("{head}exit\n"));
    }

    #[test]
    fn exabgps_file_has_commands() {
        assert_eq!(
            text(Format::ExaBgp, &some()),
            "announce route 192.0.2.100/32 next-hop self\n\
             announce route 192.0.2.101/32 next-hop self community [65535:0]\n\
             withdraw route 192.0.2.102/32 next-hop self\n\
             announce route 2001:db8::1/128 next-hop self\n"
        );
    }

    #[test]
    fn what_a_file_names_is_found_again() {
        let all: BTreeSet<IpAddr> = some().into_keys().collect();
        let without: BTreeSet<IpAddr> =
            all.iter().copied().filter(|vip| !vip.to_string().ends_with("102")).collect();
        for format in Format::ALL {
            let says_withdrawn = matches!(format, Format::Frr | Format::ExaBgp);
            let text = text(format, &some());
            assert_eq!(named(&text, false), without, "{format}");
            assert_eq!(
                named(&text, true),
                if says_withdrawn { all.clone() } else { without.clone() },
                "{format}"
            );
        }
        assert_eq!(named("# 10.0.0.0/8 of somebody else's\n\nroute 192.0.2.1/24;\n", true), BTreeSet::new());
    }
}
