//! Addresses that another station has: found out by asking before they are announced (RFC 4862 5.4, RFC 5227 2.1).
//!
//! That takes a second, so it is done where the configuration wants it ([`Duplicates::Wait`]). Until then the director
//! answers for an address and does not announce it (RFC 4429): a question that is not answered would be lost, and an
//! announcement would take the address away from who has it. What somebody else has is left to them, and asked for again,
//! so that it is not lost for good when they go.
//!
//! [`Duplicates::Wait`]: crate::service::plan::Duplicates::Wait

use crate::{
    limits::MAX_TAKEN,
    time::{Duration, Instant},
};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// How long an answer is waited for: one question, and RetransTimer (RFC 4862 5.1, RFC 4861 10).
pub const WAIT: Duration = Duration::from_secs(1);
/// Time between two questions about addresses that somebody else has.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How long somebody has an address who was heard of: until they have not answered one question.
const KEPT: Duration = Duration::from_secs(45);

/// Addresses that another station has.
#[derive(Debug, Default)]
pub struct Taken {
    /// Who says until then that an address is theirs was first.
    asking_until: Option<Instant>,
    addresses: ArrayVec<(IpAddr, Instant), MAX_TAKEN>,
    due: Option<Instant>,
}

impl Taken {
    /// It was asked for addresses that are to be announced.
    pub fn ask(&mut self, now: Instant) {
        self.asking_until = Some(now + WAIT);
    }

    /// Whether an answer is waited for.
    #[must_use]
    pub fn is_asking(&self, now: Instant) -> bool {
        self.asking_until.is_some_and(|until| now <= until)
    }

    /// Whether somebody else has an address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(taken, _)| *taken == address)
    }

    /// Somebody says that an address is theirs. Of very many only the first are remembered.
    pub fn note(&mut self, address: IpAddr, now: Instant) {
        let until = now + KEPT;
        if let Some((_, known)) = self.addresses.iter_mut().find(|(taken, _)| *taken == address) {
            *known = until;
        } else {
            // Full: that one is announced nevertheless.
            let _ = self.addresses.try_push((address, until));
        }
        self.due.get_or_insert(now + ASK_EVERY);
    }

    /// Whether it is time to ask again.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// Forgets those that nobody has any more, and returns whether there were such. The others are to be asked for.
    pub fn look(&mut self, now: Instant) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|(_, until)| now < *until);
        self.due = (!self.addresses.is_empty()).then_some(now + ASK_EVERY);
        self.addresses.len() < before
    }

    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.addresses.clone().into_iter().map(|(address, _)| address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_a_question_has_an_address_no_longer() {
        let at = |s| Instant::ZERO + Duration::from_secs(s);
        let address = IpAddr::from([192, 0, 2, 100]);
        let mut taken = Taken::default();
        assert!(!taken.is_asking(at(0)) && !taken.is_due(at(100)));
        taken.ask(at(0));
        assert!(taken.is_asking(at(1)) && !taken.is_asking(at(2)));
        taken.note(address, at(1));
        assert!(taken.has(address) && !taken.is_due(at(30)) && taken.is_due(at(31)));
        assert!(!taken.look(at(31)) && taken.has(address), "asked again");
        taken.note(address, at(31));
        assert!(!taken.look(at(61)) && taken.has(address), "and answered");
        assert!(taken.look(at(91)) && !taken.has(address), "and not");
        assert!(!taken.is_due(at(1_000)));
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let mut taken = Taken::default();
        for host in 0..=MAX_TAKEN as u32 {
            taken.note(IpAddr::V4(host.into()), Instant::ZERO);
        }
        assert_eq!(taken.addresses().count(), MAX_TAKEN);
    }
}
