//! Writing what was imported as a configuration, with comments: what to set, what differs, what has no equal.

use super::{
    draft::{Draft, Missing, Server, Service},
    network::{Network, Port, Way, in_order},
};
use crate::config::health::{Check, Kind, Page, Pool, WhenAllFail};
use lb_core::{
    conn::timeouts::Timeouts,
    service::{
        option::{Opt, Value, to_table},
        plan::{ServerPlan, ServicePlan, timeouts::TIMEOUTS},
    },
};
use std::{collections::HashSet, fmt::Write};

/// Widest comment.
const WIDTH: usize = 116;

/// The configuration; `from` is what it was made of.
pub(super) fn text(draft: &Draft, mut network: Network, from: &str) -> String {
    let mut text = String::new();
    comment(&mut text, "", &format!("Made of {from} by `lb-app --import`. Before it is used:"));
    in_order(&mut network.ports);
    comment(
        &mut text,
        "",
        "* Set the `device` of each port, and the addresses and routes that are marked as guesses.",
    );
    if !draft.missing.is_empty() {
        comment(
            &mut text,
            "",
            "* Read the list of what has no equal, and the comments that begin with \"differs\".",
        );
    }
    comment(&mut text, "", "* Check it: lb-app --doctor --conf FILE");
    for remark in &draft.remarks {
        text.push_str("#\n");
        comment(&mut text, "", remark);
    }
    write_missing(&mut text, &draft.missing);
    if draft.standby {
        text.push_str("\n[director]\nrole = \"standby\"\n");
    }
    let default = Timeouts::default();
    if draft.timeouts != default {
        text.push_str("\n[timeouts]\n");
        write_options(&mut text, "", TIMEOUTS, &default, &draft.timeouts);
    }
    write_network(&mut text, draft, &network);
    for (address, what) in &draft.vips {
        text.push('\n');
        comment(&mut text, "", what);
        let _ = writeln!(text, "[[vips]]\naddress = \"{address}\"");
    }
    draft.services.iter().for_each(|service| write_service(&mut text, service));
    text
}

fn write_missing(text: &mut String, missing: &[Missing]) {
    if missing.is_empty() {
        return;
    }
    text.push_str("#\n# Without an equal here, each with the nearest thing:\n");
    for Missing { place, what, nearest } in missing {
        comment(text, "", &format!("* {place}: {what}; {nearest}"));
    }
}

fn write_network(text: &mut String, draft: &Draft, network: &Network) {
    let mut number = 0;
    let mut port = |text: &mut String, name: &str| {
        text.push_str("\n[[ports]]\n");
        let _ = writeln!(text, "name = {}", Value::Text(name.to_owned()));
        let device = format!("device = \"0000:03:{:02x}.{}\"", number / 8, number % 8);
        let _ = writeln!(text, "{device}   # a guess: lb-app --doctor lists devices");
        number += 1;
    };
    let (in_vlans, untagged): (Vec<&Port>, Vec<&Port>) =
        network.ports.iter().partition(|port| draft.vlan_of(&port.name).is_some());
    let mut named = HashSet::new();
    for of_network in untagged {
        port(text, &of_network.name);
        write_addresses(text, of_network);
        named.insert(of_network.name.as_str());
    }
    let vlans = in_vlans.iter().filter_map(|on| {
        let (link, id) = draft.vlan_of(&on.name)?;
        // One in a VLAN of another.
        Some((
            *on,
            draft
                .vlan_of(link)
                .map_or((link, id.to_string()), |(base, outer)| (base, format!("[{outer}, {id}]"))),
        ))
    });
    for (_, (link, _)) in vlans.clone() {
        if named.insert(link) {
            port(text, link);
        }
    }
    for (on, (link, vlan)) in vlans {
        text.push_str("\n[[interfaces]]\n");
        let _ = writeln!(text, "name = {}", Value::Text(on.name.clone()));
        let _ = writeln!(text, "port = {}\nvlan = {vlan}", Value::Text(link.to_owned()));
        write_addresses(text, on);
    }
    for Way { to, via, interface, is_guess } in &network.routes {
        let to =
            if to.prefix_len() == 0 && to.addr().is_ipv4() { "default".to_owned() } else { to.to_string() };
        let marked = if *is_guess { "   # guessed" } else { "" };
        let _ = writeln!(text, "\n[[routes]]\nto = \"{to}\"\nvia = \"{via}\"{marked}");
        if let Some(interface) = interface {
            let _ = writeln!(text, "interface = {}", Value::Text(interface.clone()));
        }
    }
}

fn write_addresses(text: &mut String, port: &Port) {
    let guesses = port.addresses.iter().filter(|(_, is_guess)| *is_guess).count();
    let marked = match guesses {
        0 => "",
        n if n == port.addresses.len() => "   # guessed",
        _ => "   # partly guessed",
    };
    let addresses: Vec<String> = port.addresses.iter().map(|(net, _)| format!("\"{net}\"")).collect();
    if addresses.len() < 4 {
        let _ = writeln!(text, "addresses = [{}]{marked}", addresses.join(", "));
    } else {
        let _ = writeln!(text, "addresses = [{marked}\n    {},\n]", addresses.join(",\n    "));
    }
}

/// A service's `check`.
pub(super) fn check_text(check: &Check) -> String {
    let mut text = "[services.check]\n".to_owned();
    write_check(&mut text, "", check);
    text
}

/// A service's `health`.
pub(super) fn pool_text(pool: &Pool) -> String {
    let mut text = "[services.health]\n".to_owned();
    write_options(&mut text, "", Pool::OPTIONS, &Pool::default(), pool);
    text
}

fn write_service(text: &mut String, service: &Service) {
    let Service { place, plan, pool, check, servers, notes } = service;
    let _ = writeln!(text, "\n# {place}");
    notes.iter().for_each(|note| comment(text, "", note));
    text.push_str("[[services]]\n");
    let default = ServicePlan { timeouts: plan.timeouts, ..ServicePlan::new("", plan.key(), plan.method) };
    write_options(text, "", ServicePlan::OPTIONS, &default, plan);
    if plan.timeouts != Timeouts::default() {
        text.push_str("\n  [services.timeouts]\n");
        write_options(text, "  ", TIMEOUTS, &Timeouts::default(), &plan.timeouts);
    }
    if let Some(check) = check {
        text.push_str("\n  [services.check]\n");
        write_check(text, "  ", check);
    }
    // What a file says nothing about.
    let when_all_fail = if pool.sorry_server.is_some() { WhenAllFail::Sorry } else { WhenAllFail::Reject };
    let default = Pool { when_all_fail, ..Pool::default() };
    if *pool != default {
        text.push_str("\n  [services.health]\n");
        write_options(text, "  ", Pool::OPTIONS, &default, pool);
    }
    for server in servers {
        write_server(text, service, server);
    }
}

fn write_server(text: &mut String, service: &Service, server: &Server) {
    text.push('\n');
    server.notes.iter().for_each(|note| comment(text, "  ", note));
    text.push_str("  [[services.servers]]\n");
    let default = ServerPlan::new(server.plan.address, service.plan.default_server_port(), 1);
    write_options(text, "  ", ServerPlan::OPTIONS, &default, &server.plan);
    match &server.check {
        check if *check == service.check => {}
        Some(check) => {
            text.push_str("    [services.servers.check]\n");
            write_check(text, "    ", check);
        }
        None => text.push_str("  check = { type = \"none\" }\n"),
    }
    if let Some(agent) = &server.agent {
        text.push_str("    [services.servers.agent]\n");
        write_check(text, "    ", agent);
    }
}

/// What is required, and what is not the default.
fn write_options<P>(text: &mut String, indent: &str, options: &'static [Opt<P>], default: &P, of: &P) {
    for option in options.iter().filter(|option| option.field.is_in_file()) {
        let value = (option.get)(of);
        if let Some(value) =
            value.filter(|value| option.field.is_required || Some(value) != (option.get)(default).as_ref())
        {
            let _ = writeln!(text, "{indent}{} = {value}", option.field.key);
        }
    }
}

/// The same of a check, whose times are always written.
fn write_check(text: &mut String, indent: &str, check: &Check) {
    let mut kind = check.kind.plain();
    if let Kind::Command(command) = &mut kind {
        command.dynamic = check.is_agent;
    }
    let default = Check { is_agent: check.is_agent, ..Check::new(kind, check.interval) }.to_value();
    let (Value::Table(default), Value::Table(said)) = (default, check.to_value()) else { return };
    for (key, value) in said {
        let is_written = matches!(key, "type" | "interval" | "timeout" | "fall" | "rise");
        if let Value::List(tables) = &value
            && key == "urls"
        {
            write_urls(text, indent, tables);
        } else if is_written || !default.contains(&(key, value.clone())) {
            let _ = writeln!(text, "{indent}{key} = {value}");
        }
    }
}

/// What a check asks for, a line each.
fn write_urls(text: &mut String, indent: &str, tables: &[Value]) {
    let default = to_table(Page::OPTIONS, &Page::default());
    let Value::Table(default) = default else { return };
    let _ = writeln!(text, "{indent}urls = [");
    for table in tables {
        let Value::Table(said) = table else { continue };
        let is_said = |pair: &&(&str, Value)| pair.0 == "path" || !default.contains(pair);
        let said = Value::Table(said.iter().filter(is_said).cloned().collect());
        let _ = writeln!(text, "{indent}  {said},");
    }
    let _ = writeln!(text, "{indent}]");
}

/// A comment, in lines that are not too long.
fn comment(text: &mut String, indent: &str, what: &str) {
    let mut line = format!("{indent}#");
    let hang = if what.starts_with("* ") { "  " } else { "" };
    for word in what.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line.len() > indent.len() + 1 {
            text.push_str(&line);
            text.push('\n');
            line = format!("{indent}#{hang}");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
