//! What is measured of synchronization with directors of IPVS.

use super::text::{Family, Kind, Writer, labels};
use crate::control::sync::ipvs;

/// Writes it.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &ipvs::Facts, adopted: u64, writer: &mut Writer<F>) {
    let one = |writer: &mut Writer<F>, name, help, kind, value| {
        writer.family(&Family { name, kind, help });
        writer.sample("", value);
    };
    let by_reason = |writer: &mut Writer<F>, name, help, counts: &[(&'static str, u64)]| {
        writer.family(&Family { name, kind: Kind::Counter, help });
        counts.iter().for_each(|(reason, count)| writer.sample(&labels(&[("reason", reason)]), *count));
    };
    let help = "Whether the director is in the group of directors of IPVS.";
    one(writer, "lb_ipvs_sync_joined", help, Kind::Gauge, facts.waits_for.is_none().into());
    if let Some((counts, held)) = &facts.backup {
        let help = "Connections held that directors of IPVS have told of.";
        one(writer, "lb_ipvs_sync_held_connections", help, Kind::Gauge, *held as u64);
        let help = "Connections taken over as directors of IPVS told.";
        one(writer, "lb_ipvs_sync_adopted_connections", help, Kind::Counter, adopted);
        let help = "Datagrams of directors of IPVS that were taken.";
        one(writer, "lb_ipvs_sync_received_datagrams", help, Kind::Counter, counts.datagrams);
        let entries = [
            ("connection", counts.connections),
            ("ended", counts.ended),
            ("client", counts.clients),
            ("client-unknown", counts.clients_unknown),
        ];
        let help = "Entries of directors of IPVS that were understood, by what they tell of.";
        writer.family(&Family { name: "lb_ipvs_sync_received_entries", kind: Kind::Counter, help });
        entries.iter().for_each(|(of, count)| writer.sample(&labels(&[("of", of)]), *count));
        let help = "Connections of directors of IPVS that found no room.";
        one(writer, "lb_ipvs_sync_roomless_connections", help, Kind::Counter, counts.no_room);
        let help = "Entries of directors of IPVS that cannot be kept here, by reason.";
        by_reason(writer, "lb_ipvs_sync_unfit_entries", help, &counts.unfit());
        let help = "Datagrams to the group that were not taken, by reason.";
        by_reason(writer, "lb_ipvs_sync_refused_datagrams", help, &counts.refused());
    }
    if let Some((counts, [told, clients])) = &facts.master {
        let help = "Connections that directors of IPVS are told of.";
        one(writer, "lb_ipvs_sync_connections", help, Kind::Gauge, *told as u64);
        let help = "Connections that directors of IPVS would be told of if there was room.";
        one(writer, "lb_ipvs_sync_untold_connections", help, Kind::Gauge, counts.no_room);
        let help = "Connections that IPVS could not go on with.";
        one(writer, "lb_ipvs_sync_untellable_connections", help, Kind::Gauge, counts.untellable);
        let help = "Clients of persistent services that directors of IPVS are told of.";
        one(writer, "lb_ipvs_sync_clients", help, Kind::Gauge, *clients as u64);
        let help = "Clients that directors of IPVS would be told of if there was room.";
        one(writer, "lb_ipvs_sync_untold_clients", help, Kind::Gauge, counts.clients_no_room);
        let help = "Clients whose service IPVS has no word for.";
        one(writer, "lb_ipvs_sync_untellable_clients", help, Kind::Gauge, counts.clients_untellable);
        let help = "Datagrams to directors of IPVS.";
        one(writer, "lb_ipvs_sync_sent_datagrams", help, Kind::Counter, counts.datagrams);
        let help = "Bytes of datagrams to directors of IPVS.";
        one(writer, "lb_ipvs_sync_sent_bytes", help, Kind::Counter, counts.bytes);
        let help = "Entries sent to directors of IPVS, repeated ones included.";
        one(writer, "lb_ipvs_sync_sent_entries", help, Kind::Counter, counts.entries);
    }
}
