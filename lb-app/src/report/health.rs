//! What checks found: every server that is checked, with the reason of its last failure.

use crate::health::report::Report;
use std::{fmt::Write, time::SystemTime};

pub(super) fn write(text: &mut String, report: &Report, now: SystemTime) {
    if report.services.is_empty() {
        return;
    }
    let _ = writeln!(text, "Health");
    let _ = writeln!(
        text,
        "  -> {:<26} {:<8} {:<5} {:<10} {:>8} {:>7} {:>8}  LastFailure",
        "RemoteAddress:Port", "Check", "State", "Role", "For", "Changes", "Failures"
    );
    for service in &report.services {
        let quorum = if service.quorum { "quorum" } else { "no quorum" };
        let kept = if service.kept { ", those that worked last are kept" } else { "" };
        let (protocol, vip) = (service.key.protocol.upper(), service.key.endpoint());
        let _ = write!(text, "{protocol:<4} {vip} {}: {quorum}{kept}", service.name);
        if let Some((sorry, serves)) = service.sorry {
            let _ = write!(text, ", sorry server {sorry} {}", if serves { "serves" } else { "waits" });
        }
        text.push('\n');
        for server in &service.servers {
            let failure = server.last_failure.as_ref().map_or(String::new(), |(reason, at)| {
                let ago = now.duration_since(*at).unwrap_or_default().as_secs();
                format!("{reason} ({ago} s ago)")
            });
            let line = format!(
                "  -> {:<26} {:<8} {:<5} {:<10} {:>7}s {:>7} {:>8}  {failure}",
                server.address.to_string(),
                server.kind().unwrap_or("-"),
                server.state.to_string(),
                server.role_word(),
                server.for_ms / 1_000,
                server.transitions,
                server.failures,
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::health::{Check, Kind, Pool};
    use crate::health::{
        Role,
        report::{Admission, Progress, ServerReport, ServerState, ServiceReport},
    };
    use lb_core::{service::plan::Advice, time::Duration as Span};
    use std::{sync::Arc, time::Duration};

    #[test]
    fn every_server_has_a_line_with_the_reason_of_its_last_failure() {
        let well = ServerReport {
            address: "198.51.100.11:80".parse().unwrap(),
            check: Some(Arc::new(Check::new(Kind::Tcp, Span::from_secs(5)))),
            state: ServerState::Up,
            role: Role::Serves,
            admission: Admission::Admitted,
            agent: None,
            advice: Advice::default(),
            progress: Progress::default(),
            for_ms: 61_500,
            checks: 100,
            failures: 0,
            transitions: 0,
            took_us: 1_500,
            last_failure: None,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let ill = ServerReport {
            address: "198.51.100.12:80".parse().unwrap(),
            state: ServerState::Held,
            role: Role::Out,
            admission: Admission::Admitted,
            agent: None,
            advice: Advice::default(),
            failures: 7,
            transitions: 3,
            last_failure: Some(("it answered with status 500".to_owned(), now - Duration::from_secs(5))),
            ..well.clone()
        };
        let service = ServiceReport {
            key: "tcp 192.0.2.100:80".parse().unwrap(),
            name: "web".to_owned(),
            pool: Pool::default(),
            quorum: true,
            up_weight: 1,
            quorum_changes: 0,
            kept: false,
            sorry: Some(("198.51.100.99:80".parse().unwrap(), false)),
            servers: vec![well, ill],
        };
        let mut text = String::new();
        write(&mut text, &Report { services: vec![service], hooks: (0, 0) }, now);
        assert_eq!(
            text,
            "Health\n\
             \x20 -> RemoteAddress:Port         Check    State Role            For Changes Failures  LastFailure\n\
             TCP  192.0.2.100:80 web: quorum, sorry server 198.51.100.99:80 waits\n\
             \x20 -> 198.51.100.11:80           tcp      up    serves          61s       0        0\n\
             \x20 -> 198.51.100.12:80           tcp      held  out             61s       3        7  it answered with status 500 (5 s ago)\n\
             \n"
        );
    }
}
