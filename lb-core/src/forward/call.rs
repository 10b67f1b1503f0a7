//! A packet of a call, RFC 2637 4: GRE, whose key has the number that its receiver has given the call, as a
//! [module](crate::module::pptp) has read. No checksum covers it.

use crate::{
    conn::entry::Direction,
    counters::DropReason,
    family::Family,
    module::kept::Calls,
    wire::{get16, headers::Headers, pptp::CALL_ID, put16},
};

/// Gives a packet the number that its receiver knows, and returns both. `None` of a fragment that is not the first of its
/// packet, which has no number.
///
/// # Errors
/// When its receiver has given none: there is no call.
pub fn renumber<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    calls: Calls,
    direction: Direction,
) -> Result<Option<(u16, u16)>, DropReason> {
    let new = calls[direction.reversed() as usize].ok_or(DropReason::NoConnection)?;
    if F::is_later_fragment(at.fragment) {
        return Ok(None);
    }
    let header = frame.get_mut(usize::from(at.l4)..).filter(|header| header.len() >= CALL_ID + 2);
    let header = header.ok_or(DropReason::BadL4)?;
    let old = get16(header, CALL_ID);
    put16(header, CALL_ID, new);
    Ok(Some((old, new)))
}
