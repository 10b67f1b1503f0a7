//! Everything that is measured, written as text piece by piece.

use super::{
    director,
    facts::Facts,
    health, ipvs, peers, ports, servers,
    text::{Format, Writer},
    workers,
};

/// Writes it, as fast as who reads takes it.
pub(super) fn write(facts: &Facts, format: Format, send: impl FnMut(Vec<u8>)) {
    let mut writer = Writer::new(format, send);
    director::write(facts, &mut writer);
    workers::write(facts, &mut writer);
    ports::write(facts, &mut writer);
    peers::write(&facts.sync.0, facts.sync.1, &mut writer);
    if let Some((of_ipvs, adopted)) = &facts.ipvs {
        ipvs::write(of_ipvs, *adopted, &mut writer);
    }
    health::write(facts, &mut writer);
    servers::write(facts, &mut writer);
    writer.finish();
}
