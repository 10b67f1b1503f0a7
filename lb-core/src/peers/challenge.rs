//! Whether a run that is said to be a peer's runs now: it has to send a number back.
//!
//! What was recorded in earlier runs has the right seal, and whoever has it can repeat it as fast as the network carries
//! it. So no question takes another's turn: nothing is kept of one, since its number follows from the key and the run that
//! is asked, and how often is limited for each run and each question by itself.

use super::seal::Seal;
use crate::time::{Duration, Instant};

/// How long a question can be answered, at least; twice as long at most.
const ANSWERED_WITHIN_MS: u64 = 2_000;
/// At least so long passes between two questions to one run, and between two answers to one question.
const EVERY: Duration = Duration::from_millis(200);
/// Runs and questions that are told apart: the last ones. Who repeats more of them gets a datagram for each of its own,
/// which is the smaller one.
const REMEMBERED: usize = 8;

/// Questions to one peer, and answers to its questions.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    /// How often the peer has proved a run. A number is good for one proof.
    proofs: u64,
    asked: Recent,
    answered: Recent,
}

impl Challenges {
    /// The number that a run has to send back to ours; nothing if it was asked a moment ago.
    pub(super) fn ask(&mut self, now: Instant, (ours, run): (u64, u64), seal: &Seal) -> Option<u64> {
        self.asked.takes(now, run).then(|| self.number(time(now), (ours, run), seal))
    }

    /// Whether that is the number which the run was asked for. If so, it is believed once.
    pub(super) fn proves(&mut self, now: Instant, (ours, run): (u64, u64), number: u64, seal: &Seal) -> bool {
        let times = [time(now), time(now).saturating_sub(1)];
        let is_right = times.iter().any(|&time| self.number(time, (ours, run), seal) == number);
        self.proofs += u64::from(is_right);
        is_right
    }

    /// Whether a question with that number is to be answered: not if it was a moment ago.
    pub(super) fn answers(&mut self, now: Instant, number: u64) -> bool {
        self.answered.takes(now, number)
    }

    fn number(&self, time: u64, (ours, run): (u64, u64), seal: &Seal) -> u64 {
        seal.draw(&[ours, run, self.proofs, time])
    }
}

fn time(now: Instant) -> u64 {
    now.as_millis() / ANSWERED_WITHIN_MS
}

/// What something was done for a moment ago.
#[derive(Debug, Default)]
struct Recent([Option<(Instant, u64)>; REMEMBERED]);

impl Recent {
    /// Whether it is time to do it for `what`. If so, it is done now.
    fn takes(&mut self, now: Instant, what: u64) -> bool {
        let known = self.0.iter().position(|it| it.is_some_and(|(_, known)| known == what));
        let oldest = || (0..REMEMBERED).min_by_key(|&at| self.0[at]).unwrap_or_default();
        let at = known.unwrap_or_else(oldest);
        let is_time = known.is_none() || self.0[at].is_none_or(|(last, _)| now.since(last) >= EVERY);
        if is_time {
            self.0[at] = Some((now, what));
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u64 = 7;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(10_000 + ms)
    }

    fn seal() -> Seal {
        Seal::new(b"a key that all of them have").expect("long enough")
    }

    #[test]
    fn a_number_is_good_for_one_proof_of_one_run_for_a_while() {
        let (mut challenges, seal) = (Challenges::default(), seal());
        let [one, other] =
            [1, 2].map(|run| challenges.ask(at(0), (OURS, run), &seal).expect("both are asked"));
        assert!(
            !challenges.proves(at(1), (OURS, 1), other, &seal)
                && !challenges.proves(at(1), (8, 1), one, &seal)
        );
        assert!(challenges.proves(at(1_999), (OURS, 1), one, &seal));
        assert!(!challenges.proves(at(1_999), (OURS, 1), one, &seal), "it may have been recorded");
        let again = challenges.ask(at(2_000), (OURS, 1), &seal).expect("after a while");
        assert!(!challenges.proves(at(6_000), (OURS, 1), again, &seal));
    }

    #[test]
    fn each_run_and_each_question_has_its_own_time() {
        let (mut challenges, seal) = (Challenges::default(), seal());
        let mut asks = |ms, run| challenges.ask(at(ms), (OURS, run), &seal).is_some();
        assert!(asks(0, 1) && !asks(199, 1) && asks(199, 2) && asks(200, 1) && !asks(201, 2));
        // More of them than are remembered keep nobody from being asked.
        assert!((10..1_000).all(|run| asks(300, run)) && asks(301, 1));
        assert!(
            challenges.answers(at(0), 5) && !challenges.answers(at(0), 5) && challenges.answers(at(0), 6)
        );
    }
}
