//! The log lines of what happened.

use super::Happened;
use lb_ctl::protocol::events::{Kind, Severity};
use tracing::{error, field, info, warn};

/// Logs it. Each kind has lines of its own, since the log limits how many it writes of the same (`crate::log`).
macro_rules! by_kind {
    ($happened:ident: $($kind:ident)*) => {
        match $happened.kind {
            $(Kind::$kind => match Kind::$kind.severity() {
                Severity::Info => line!(info, $happened),
                Severity::Warning => line!(warn, $happened),
                Severity::Error => line!(error, $happened),
            },)*
        }
    };
}

macro_rules! line {
    ($level:ident, $happened:ident) => {
        $level!(
            service = $happened.service.as_ref().map(field::display),
            server = $happened.server.as_ref().map(field::display),
            reason = $happened.reason.as_ref().map(field::display),
            by = $happened.by.as_ref().map(field::display),
            "{}",
            $happened.text
        )
    };
}

pub(super) fn log(happened: &Happened) {
    let what = match happened.kind {
        Kind::Reloaded => "reload",
        _ => "change",
    };
    happened.details.iter().for_each(|detail| info!("{what}: {detail}"));
    by_kind!(happened:
        Started Stopping ServerUp ServerDown ServerHeld ServerEnabled ServerDrained ServerDisabled QuorumReached
        QuorumLost SorryServerServes SorryServerWaits AllFailed AllFailedOver HookFailed Changed Reloaded ReloadRefused
        ReloadPending ReloadConfirmed ReloadRolledBack RollbackFailed Saved ConnectionsEnded AddressConflict
        NeighbourLost NeighbourFound LinkUp LinkDown LinkGone MemberUp MemberDown RoleChanged DirectorDraining VipAnnounced VipWithdrawn PortStarted PortStopped ForwardingStarted
        ForwardingStopped WorkerStuck WorkerRecovered WorkerExited DropsBegan DropsEnded MetricsUnavailable
        MetricsServed Forbidden PeerHeard PeerSilent PeerRefused PeersDiffer PeersAgree SyncUnavailable SyncFull SyncRoom
    );
}
