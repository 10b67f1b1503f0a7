//! What is not about services: addresses, routes, VRRP, and what concerns all.

use super::{
    super::draft::{Draft, Route, Wrong, default_route},
    blocks::Node,
};
use ipnet::IpNet;
use lb_core::{conn::state::State, time::Duration};
use lb_ctl::{foreign, ipvsadm::act::NO_DAEMON};
use std::net::IpAddr;

/// The user that scripts run as, if the file says one.
pub(super) fn script_user(nodes: &[Node]) -> Option<String> {
    let globals = nodes.iter().filter(|node| node.key() == "global_defs");
    globals.filter_map(|node| node.child("script_user")).find_map(|line| line.words.get(1).cloned())
}

/// Reads one of the other blocks.
pub(super) fn read(node: &Node, draft: &mut Draft) -> Result<(), Wrong> {
    match node.key() {
        "global_defs" => {
            let mut of_keepalived = Vec::new();
            for line in node.block()? {
                if !global(line, draft)? {
                    of_keepalived.push(line.key());
                }
            }
            if !of_keepalived.is_empty() {
                let what = format!("global_defs: {}", of_keepalived.join(", "));
                draft.miss(
                    &node.place,
                    what,
                    "what concerns keepalived's own processes and VRRP stays with it",
                );
            }
            Ok(())
        }
        "static_ipaddress" => {
            for line in node.block()? {
                let (net, device) = address(line, None)?;
                // What is on the loopback interface is no network.
                if let Some(device) = device.filter(|device| device != "lo") {
                    draft.own.push((net, device));
                }
            }
            Ok(())
        }
        "static_routes" => node.block()?.iter().try_for_each(|line| route(line, draft)),
        "static_rules" => {
            draft.miss(&node.place, "static_rules", "routes go by destination only");
            Ok(())
        }
        "vrrp_instance" => vrrp(node, draft),
        "SSL" => {
            draft.miss(
                &node.place,
                "SSL",
                "HTTPS checks show no certificate of their own; `ca` is what they trust",
            );
            Ok(())
        }
        // These stay with keepalived, which still decides who is active.
        "vrrp_sync_group"
        | "vrrp_script"
        | "vrrp_track_process"
        | "vrrp_track_file"
        | "track_file"
        | "bfd_instance"
        | "garp_group"
        | "linkbeat_interfaces"
        | "interface_up_down_delays" => Ok(()),
        "net_namespace" | "namespace_with_ipsets" => {
            draft.miss(
                &node.place,
                node.words.join(" "),
                "start lb-app in that namespace, or say `netns` in checks",
            );
            Ok(())
        }
        "instance" | "random_seed" | "use_pid_dir" | "child_wait_time" => Ok(()),
        other => {
            let nearest = foreign::nearest(other);
            draft.miss(
                &node.place,
                other,
                nearest.unwrap_or_else(|| "the importer does not know it; it is left out".to_owned()),
            );
            Ok(())
        }
    }
}

/// Whether it concerns what is done here.
fn global(line: &Node, draft: &mut Draft) -> Result<bool, Wrong> {
    match line.key() {
        "lvs_timeouts" => {
            for pair in line.values().chunks(2) {
                let seconds = pair.get(1).and_then(|seconds| seconds.parse::<u64>().ok());
                let seconds = seconds.filter(|seconds| (1..=2_073_600).contains(seconds));
                let seconds = seconds
                    .ok_or_else(|| line.place.wrong(format!("lvs_timeouts: {pair:?} is no timeout")))?;
                let duration = Duration::from_secs(seconds);
                match pair[0].as_str() {
                    "tcp" => draft.timeouts.set(State::Established, duration),
                    "tcpfin" => draft.timeouts.set(State::FinWait, duration),
                    "udp" => draft.timeouts.set(State::Udp, duration),
                    other => {
                        return Err(line
                            .place
                            .wrong(format!("lvs_timeouts: {other:?} is none of tcp, tcpfin, udp")));
                    }
                }
            }
        }
        "lvs_sync_daemon" => {
            draft.miss(&line.place, "lvs_sync_daemon", NO_DAEMON);
        }
        // Read before, for all programs.
        "script_user" => {}
        "notification_email" | "smtp_server" => {
            draft.miss(&line.place, line.key(), "the program of `[health] hook` can send mail");
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `ADDRESS[/PREFIX] [brd ADDRESS] [dev INTERFACE] ...`; `INTERFACE` if nothing is said.
fn address(line: &Node, interface: Option<&str>) -> Result<(IpNet, Option<String>), Wrong> {
    let text = line.key();
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let net = net.ok_or_else(|| line.place.wrong(format!("{text:?} is no address")))?;
    let device = behind(line, "dev").map(str::to_owned).or_else(|| interface.map(str::to_owned));
    Ok((net, device))
}

/// The word behind a word.
fn behind<'n>(line: &'n Node, word: &str) -> Option<&'n str> {
    line.words
        .iter()
        .position(|other| other == word)
        .and_then(|at| line.words.get(at + 1))
        .map(String::as_str)
}

/// `[to] NETWORK|default [via] ROUTER [dev INTERFACE] ...`
fn route(line: &Node, draft: &mut Draft) -> Result<(), Wrong> {
    let what = line.words.join(" ");
    let skip = usize::from(matches!(
        line.key(),
        "to" | "unicast" | "blackhole" | "unreachable" | "prohibit" | "throw"
    ));
    if matches!(line.key(), "blackhole" | "unreachable" | "prohibit" | "throw") {
        draft.miss(&line.place, format!("route {what}"), "what has no route is dropped");
        return Ok(());
    }
    let to = line.words.get(skip).map_or("", String::as_str);
    // Old files have "gw".
    let via = behind(line, "via").or_else(|| behind(line, "gw"));
    let via = via.map(|via| {
        let via = if via == "inet" || via == "inet6" { behind(line, via).unwrap_or("") } else { via };
        via.parse::<IpAddr>().map_err(|_| line.place.wrong(format!("route {what}: {via:?} is no router")))
    });
    let via = via.transpose()?;
    let to = match to {
        "default" => Some(default_route(via)),
        text => text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)),
    };
    let to = to.ok_or_else(|| line.place.wrong(format!("route {what}: the network is missing")))?;
    match via {
        Some(via) => {
            let device = behind(line, "dev").map(str::to_owned);
            draft.routes.push(Route { place: line.place.clone(), to, via, device });
        }
        None => draft.miss(
            &line.place,
            format!("route {what}"),
            "a network without a router is `addresses` of a port",
        ),
    }
    Ok(())
}

fn vrrp(node: &Node, draft: &mut Draft) -> Result<(), Wrong> {
    let name = node.value()?;
    let interface = node.child("interface").map(Node::value).transpose()?;
    for list in node.block()? {
        match list.key() {
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
                for line in list.block()? {
                    let (net, device) = address(line, interface)?;
                    draft.hints.extend(device.map(|device| (net, device)));
                    let what = format!(
                        "Of vrrp_instance {name}, and no service's. The active director answers for it, as for servers whose default \
                         gateway it is."
                    );
                    draft.vips.push((net.addr(), what));
                }
            }
            "virtual_routes" => list.block()?.iter().try_for_each(|line| route(line, draft))?,
            _ => {}
        }
    }
    draft.standby = true;
    Ok(())
}

/// What is to be said at the end.
pub(super) fn conclude(nodes: &[Node], draft: &mut Draft) {
    if !draft.standby {
        return;
    }
    let names: Vec<&str> = nodes
        .iter()
        .filter(|node| node.key() == "vrrp_instance")
        .filter_map(|node| node.value().ok())
        .collect();
    draft.remarks.push(format!(
        "VRRP stays with keepalived, which tells lb-app its role; docs/directors.md shows both halves. In vrrp_instance {} \
         take out virtual_ipaddress and the virtual servers, and add: notify_master \"/usr/bin/lbctl set director role \
         active\", notify_backup \"/usr/bin/lbctl set director role standby\", notify_fault \"/usr/bin/lbctl set director \
         role standby\". Without VRRP, remove `[director]` below.",
        names.join(", ")
    ));
}
