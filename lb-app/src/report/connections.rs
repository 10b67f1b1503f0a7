//! Connections, as `ipvsadm -Lnc` lists them.

use crate::control::live::workers::Listed;
use lb_core::{service::snapshot::Snapshot, time::Duration};
use std::fmt::Write;

/// Lists connections. `total` is how many there are, listed or not.
pub(super) fn write(text: &mut String, snapshot: &Snapshot, listed: &[Listed], total: u64) {
    let _ = writeln!(text, "Connections");
    let _ = writeln!(
        text,
        "pro expire state       {:<18} {:<18} {:<18} worker local",
        "source", "virtual", "destination"
    );
    for Listed { worker, connection, idle, .. } in listed {
        let timeout = snapshot.service_of(connection.server_id).timeouts.of(connection.state);
        let left = Duration::from_millis(timeout.as_millis().saturating_sub(idle.as_millis()));
        let line = format!(
            "{:<3} {:<6} {:<11} {:<18} {:<18} {:<18} {:<6} {}",
            connection.protocol.upper(),
            minutes(left),
            connection.state.name(),
            connection.client.to_string(),
            connection.vip.to_string(),
            connection.server.to_string(),
            worker.0,
            connection.local.map(|at| at.to_string()).unwrap_or_default(),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if (listed.len() as u64) < total {
        let _ = writeln!(text, "... {} more", total - listed.len() as u64);
    }
    let _ = writeln!(text, "total {total} connections");
}

/// Minutes and seconds, rounded up so that what is still there does not show 00:00.
fn minutes(left: Duration) -> String {
    let seconds = left.as_millis().div_ceil(1_000);
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_minutes_and_seconds() {
        assert_eq!(minutes(Duration::from_secs(898)), "14:58");
        assert_eq!(minutes(Duration::from_millis(1)), "00:01");
        assert_eq!(minutes(Duration::from_secs(7_200)), "120:00");
    }
}
