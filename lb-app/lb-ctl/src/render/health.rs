//! Results of health checks: a line for each server, and below it what an operator asks next.

use super::units::span;
use crate::protocol::health::{Advice, Agent, Health, Server, Service};
use std::fmt::Write;

pub(super) fn page(
    text: &mut String,
    page: &Health,
    (first, last): (bool, bool),
    before: &mut Option<String>,
) {
    if first && page.services.is_empty() {
        let _ = writeln!(text, "no health checks are configured: neither `check` nor `health`");
        return;
    }
    if first {
        let _ = writeln!(
            text,
            "Prot LocalAddress:Port Service\n  -> {:<28} {:<8} {:<5} {:<10} {:>7} {:>8} {:>8} {:>8}  NextCheck",
            "RemoteAddress:Port", "Check", "State", "Role", "For", "Changes", "Checks", "Failures"
        );
    }
    for service in &page.services {
        if before.as_ref() != Some(&service.name) {
            head(text, service);
        }
        service.servers.iter().for_each(|it| server(text, service, it));
        *before = Some(service.name.clone());
    }
    if last && page.hooks_called > 0 {
        let _ = writeln!(text, "hooks: {} run, {} failed", page.hooks_called, page.hooks_failed);
    }
}

fn head(text: &mut String, service: &Service) {
    let quorum = &service.quorum;
    let _ = write!(
        text,
        "{}  {} {}: quorum {}, weight {} up, {}",
        service.key.protocol.upper(),
        service.key.endpoint(),
        service.name,
        if quorum.reached { "reached" } else { "lost" },
        quorum.weight,
        match quorum.reached {
            true => format!("lost below {}", quorum.lost_below),
            false => format!("reached at {}", quorum.reached_at),
        },
    );
    if let Some(sorry) = &service.sorry_server {
        let serves = if sorry.serves { "serves" } else { "waits" };
        let _ = write!(text, "; sorry server {} {serves}", sorry.endpoint);
    }
    if service.keeps_last {
        text.push_str("; all servers failed, using those that worked last");
    }
    if service.passive {
        text.push_str("; passive checks on");
    }
    text.push('\n');
}

fn server(text: &mut String, service: &Service, server: &Server) {
    let next = match (&server.check, server.next_check_ms) {
        (None, _) => "-".to_owned(),
        (Some(_), None) => "now".to_owned(),
        (Some(_), Some(ms)) => format!("in {}", span(ms)),
    };
    let _ = writeln!(
        text,
        "  -> {:<28} {:<8} {:<5} {:<10} {:>7} {:>8} {:>8} {:>8}  {next}",
        server.endpoint,
        server.check.as_ref().map_or("-", |check| &check.kind),
        server.state,
        server.role,
        span(server.for_ms / 1_000 * 1_000),
        server.changes,
        server.checks,
        server.failures,
    );
    if let Some(agent) = &server.agent {
        tell_agent(text, agent);
    }
    if let Some(advice) = &server.advice {
        tell_advice(text, advice);
    }
    if server.against > 0 {
        let what = if server.state == "up" { "failed" } else { "passed" };
        let _ = writeln!(text, "       {what} {} of {} checks in a row", server.against, server.needed);
    }
    if let Some(left) = server.held_for_ms {
        let within = span(service.flap_window_ms);
        let _ = writeln!(
            text,
            "       went down {} times within {within}: held until it has passed its checks for another {}",
            server.recent_downs,
            span(left)
        );
    } else if service.flap_limit > 0 && server.recent_downs > 0 {
        let within = span(service.flap_window_ms);
        let _ = writeln!(
            text,
            "       went down {} times within {within}, held at {}",
            server.recent_downs, service.flap_limit
        );
    }
    if let Some(left) = server.retried_in_ms {
        let _ = writeln!(text, "       brought down by passive checks; retried in {}", span(left));
    }
    if let Some(failure) = &server.last_failure {
        let ago = span(failure.ago_ms / 1_000 * 1_000);
        let _ = writeln!(text, "       last failure {ago} ago: {}", failure.reason);
    }
}

fn tell_agent(text: &mut String, agent: &Agent) {
    let ago = |ms: u64| span(ms / 1_000 * 1_000);
    let _ = match &agent.said {
        Some(said) => {
            write!(text, "       agent ({}) said {:?} {} ago", agent.kind, said.words, ago(said.ago_ms))
        }
        None => write!(text, "       agent ({}) has said nothing", agent.kind),
    };
    let _ = match &agent.failure {
        Some(failure) => writeln!(text, "; asked {} ago: {}", ago(failure.ago_ms), failure.reason),
        None => writeln!(text),
    };
}

fn tell_advice(text: &mut String, advice: &Advice) {
    let weight = advice.weight.map(|weight| format!("weight {weight}"));
    let state = (advice.state != "enabled").then(|| advice.state.clone());
    let most =
        (advice.most_connections > 0).then(|| format!("at most {} connections", advice.most_connections));
    let all: Vec<String> = [weight, state, most].into_iter().flatten().collect();
    if !all.is_empty() {
        let _ = writeln!(text, "       advised: {}", all.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Protocol,
        health::{Check, Failure, Quorum, Said, SorryServer},
        keys::{ServerEndpoint, ServiceKey},
    };

    fn check() -> Check {
        Check {
            kind: "http".to_owned(),
            to: "server".to_owned(),
            via: "kernel".to_owned(),
            interval_ms: 5_000,
            timeout_ms: 3_000,
            rise: 2,
            fall: 3,
        }
    }

    fn server(last: u8) -> ServerEndpoint {
        ServerEndpoint { address: [198, 51, 100, last].into(), port: 80 }
    }

    fn up(last: u8) -> Server {
        Server {
            endpoint: server(last),
            check: Some(check()),
            agent: None,
            advice: None,
            state: "up".to_owned(),
            for_ms: 61_700,
            role: "serves".to_owned(),
            against: 0,
            needed: 3,
            next_check_ms: Some(1_234),
            took_us: 900,
            checks: 100,
            failures: 0,
            changes: 0,
            last_failure: None,
            recent_downs: 0,
            held_for_ms: None,
            retried_in_ms: None,
        }
    }

    #[test]
    fn a_line_for_each_server_and_below_it_why() {
        let failing = Server {
            against: 1,
            next_check_ms: None,
            failures: 7,
            recent_downs: 1,
            last_failure: Some(Failure { reason: "it answered with status 500".to_owned(), ago_ms: 5_400 }),
            ..up(12)
        };
        let held = Server {
            state: "held".to_owned(),
            role: "out".to_owned(),
            recent_downs: 3,
            held_for_ms: Some(42_000),
            against: 2,
            needed: 2,
            ..up(13)
        };
        let by_traffic = Server {
            check: None,
            state: "down".to_owned(),
            role: "out".to_owned(),
            next_check_ms: None,
            retried_in_ms: Some(29_000),
            checks: 0,
            ..up(14)
        };
        let agent = Agent {
            kind: "tcp".to_owned(),
            via: "ports".to_owned(),
            interval_ms: 2_000,
            next_ms: Some(400),
            said: Some(Said { words: "50% drain".to_owned(), ago_ms: 3_100 }),
            failure: None,
        };
        let advised = Server {
            agent: Some(agent.clone()),
            advice: Some(Advice { weight: Some(2), state: "drain".to_owned(), most_connections: 30 }),
            role: "drained".to_owned(),
            ..up(15)
        };
        let reason = "it refused the connection".to_owned();
        let agent = Agent { said: None, failure: Some(Failure { reason, ago_ms: 1_900 }), ..agent };
        let unadvised = Server { agent: Some(agent), ..up(16) };
        let service = Service {
            name: "web".to_owned(),
            key: ServiceKey { protocol: Protocol::Tcp, vip: [192, 0, 2, 100].into(), port: 80 },
            quorum: Quorum { reached: true, weight: 2, reached_at: 1, lost_below: 1, changes: 0 },
            sorry_server: Some(SorryServer { endpoint: server(99), serves: false }),
            when_all_fail: "sorry".to_owned(),
            keeps_last: false,
            passive: true,
            flap_limit: 3,
            flap_window_ms: 300_000,
            servers: vec![up(11), failing, held, by_traffic, advised, unadvised],
        };
        let health = Health { services: vec![service], hooks_called: 4, hooks_failed: 1, next: None };
        let mut text = String::new();
        page(&mut text, &health, (true, true), &mut None);
        assert_eq!(
            text,
            "Prot LocalAddress:Port Service\n\
             \x20 -> RemoteAddress:Port           Check    State Role           For  Changes   Checks Failures  NextCheck\n\
             TCP  192.0.2.100:80 web: quorum reached, weight 2 up, lost below 1; sorry server 198.51.100.99:80 waits; passive checks on\n\
             \x20 -> 198.51.100.11:80             http     up    serves       1m01s        0      100        0  in 1.234s\n\
             \x20 -> 198.51.100.12:80             http     up    serves       1m01s        0      100        7  now\n\
             \x20      failed 1 of 3 checks in a row\n\
             \x20      went down 1 times within 5m00s, held at 3\n\
             \x20      last failure 5s ago: it answered with status 500\n\
             \x20 -> 198.51.100.13:80             http     held  out          1m01s        0      100        0  in 1.234s\n\
             \x20      passed 2 of 2 checks in a row\n\
             \x20      went down 3 times within 5m00s: held until it has passed its checks for another 42s\n\
             \x20 -> 198.51.100.14:80             -        down  out          1m01s        0        0        0  -\n\
             \x20      brought down by passive checks; retried in 29s\n\
             \x20 -> 198.51.100.15:80             http     up    drained      1m01s        0      100        0  in 1.234s\n\
             \x20      agent (tcp) said \"50% drain\" 3s ago\n\
             \x20      advised: weight 2, drain, at most 30 connections\n\
             \x20 -> 198.51.100.16:80             http     up    serves       1m01s        0      100        0  in 1.234s\n\
             \x20      agent (tcp) has said nothing; asked 1s ago: it refused the connection\n\
             hooks: 4 run, 1 failed\n"
        );
    }
}
