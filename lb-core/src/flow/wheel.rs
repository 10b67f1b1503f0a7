//! A timing wheel that is looked at, not written to, when packets pass.
//!
//! An entry waits in the slot of its deadline. A packet does not move it: it only stamps its connection. When the
//! slot comes up, the owner looks at the stamp and either ends the connection or schedules it anew. So each entry
//! costs a constant amount of work per timeout, and the work per call is bounded, however many are due at once.
//!
//! Deadlines beyond the horizon wait in the farthest slot and are scheduled anew from there. The lists through the
//! slots are threaded through the entries themselves ([`Link`]); the wheel itself is small and never grows.

use crate::{
    cast::{count32, index},
    ids::ConnectionId,
    time::Instant,
};

/// Slots of a wheel.
const SLOTS: usize = 8192;
/// Milliseconds that a slot covers, as a power of two.
const TICK_SHIFT: u32 = 7;
/// The end of a list.
const NIL: u32 = u32::MAX;
/// Marks a `previous` that names a slot of the wheel instead of an entry.
const SLOT: u32 = 1 << 31;

const _: () = assert!(crate::limits::MAX_CONNECTIONS < SLOT as usize);
const _: () = assert!(SLOTS << TICK_SHIFT > 17 * 60 * 1_000, "the horizon is past 15 minutes");

/// An entry's place in a list of the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Link {
    previous: u32,
    next: u32,
}

impl Link {
    /// Not in any list.
    pub const NONE: Link = Link { previous: NIL, next: NIL };

    /// The entry behind this one.
    #[must_use]
    pub const fn next(&self) -> Option<ConnectionId> {
        if self.next == NIL { None } else { Some(ConnectionId::new(self.next)) }
    }

    /// Whether the entry is on a wheel.
    #[must_use]
    pub const fn is_scheduled(&self) -> bool {
        self.previous != NIL
    }
}

impl Default for Link {
    fn default() -> Self {
        Link::NONE
    }
}

/// The entries that a wheel's lists run through.
pub trait Links {
    /// The link of an entry, to be changed.
    fn link(&mut self, id: ConnectionId) -> &mut Link;

    /// The entry behind another in its list.
    fn next(&self, id: ConnectionId) -> Option<ConnectionId>;
}

/// The wheel.
pub struct Wheel {
    heads: Box<[u32]>,
    /// The tick whose slot is next to be emptied.
    cursor: u64,
    scheduled: usize,
}

impl Wheel {
    /// An empty wheel that begins at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Wheel {
            heads: vec![NIL; SLOTS].into_boxed_slice(),
            cursor: now.as_millis() >> TICK_SHIFT,
            scheduled: 0,
        }
    }

    /// Entries on the wheel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scheduled
    }

    /// Whether the wheel has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scheduled == 0
    }

    /// Puts an entry, which is on no wheel, where it comes up at `deadline` or up to a tick (128 ms) later;
    /// before that, if the deadline is beyond the horizon.
    pub fn schedule(&mut self, links: &mut impl Links, id: ConnectionId, deadline: Instant) {
        let tick = deadline.as_millis().div_ceil(1 << TICK_SHIFT);
        let tick = tick.clamp(self.cursor, self.cursor + SLOTS as u64 - 1);
        let slot = slot_of(tick);
        let next = std::mem::replace(&mut self.heads[slot], id.number());
        *links.link(id) = Link { previous: SLOT | count32(slot), next };
        if next != NIL {
            links.link(ConnectionId::new(next)).previous = id.number();
        }
        self.scheduled += 1;
    }

    /// Takes an entry off the wheel, if it is on it.
    pub fn cancel(&mut self, links: &mut impl Links, id: ConnectionId) {
        let Link { previous, next } = std::mem::replace(links.link(id), Link::NONE);
        if previous == NIL {
            return;
        }
        if previous & SLOT != 0 {
            self.heads[(previous & !SLOT) as usize] = next;
        } else {
            links.link(ConnectionId::new(previous)).next = next;
        }
        if next != NIL {
            links.link(ConnectionId::new(next)).previous = previous;
        }
        self.scheduled -= 1;
    }

    /// Takes the next entry off the wheel whose slot has come up by `now`; `None` when there is none. An entry that
    /// is not over yet must be scheduled anew.
    pub fn pop_due(&mut self, links: &mut impl Links, now: Instant) -> Option<ConnectionId> {
        let now = now.as_millis() >> TICK_SHIFT;
        if self.scheduled == 0 {
            // Nothing to pass over: after a long silence the wheel is at once where it should be.
            self.cursor = self.cursor.max(now);
            return None;
        }
        while self.cursor <= now {
            let head = self.heads[slot_of(self.cursor)];
            if head != NIL {
                let id = ConnectionId::new(head);
                self.cancel(links, id);
                return Some(id);
            }
            self.cursor += 1;
        }
        None
    }

    /// The entries in the order in which they come up, to within a tick.
    pub fn iter<'a>(&'a self, links: &'a impl Links) -> impl Iterator<Item = ConnectionId> + 'a {
        let (later, sooner) = self.heads.split_at(slot_of(self.cursor));
        let slots = if self.scheduled == 0 { (&[][..], &[][..]) } else { (sooner, later) };
        let heads = slots.0.iter().chain(slots.1).copied().filter(|&head| head != NIL);
        heads.flat_map(|head| std::iter::successors(Some(ConnectionId::new(head)), |&id| links.next(id)))
    }
}

/// The slot of a tick.
fn slot_of(tick: u64) -> usize {
    index(tick) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    impl Links for Vec<Link> {
        fn link(&mut self, id: ConnectionId) -> &mut Link {
            &mut self[id.index()]
        }

        fn next(&self, id: ConnectionId) -> Option<ConnectionId> {
            self[id.index()].next()
        }
    }

    fn id(index: u32) -> ConnectionId {
        ConnectionId::new(index)
    }

    const TICK_MS: u64 = 1 << TICK_SHIFT;

    #[test]
    fn entries_come_up_in_order_and_on_time() {
        let mut links = vec![Link::NONE; 3];
        let mut wheel = Wheel::new(Instant::ZERO);
        for (index, ms) in [(0, 5_000), (1, 100), (2, 60_000)] {
            wheel.schedule(&mut links, id(index), Instant::from_millis(ms));
        }
        assert_eq!(wheel.pop_due(&mut links, Instant::from_millis(99)), None);
        assert_eq!(wheel.pop_due(&mut links, Instant::from_millis(100 + TICK_MS)), Some(id(1)));
        assert_eq!(wheel.iter(&links).collect::<Vec<_>>(), [0, 2].map(id), "whatever the time");
        wheel.cancel(&mut links, id(0));
        assert_eq!(wheel.pop_due(&mut links, Instant::from_millis(59_000)), None);
        assert_eq!(wheel.pop_due(&mut links, Instant::from_millis(61_000)), Some(id(2)));
        assert!(wheel.is_empty());
    }

    #[test]
    fn far_deadlines_come_up_at_the_horizon() {
        let mut links = vec![Link::NONE; 1];
        let mut wheel = Wheel::new(Instant::ZERO);
        wheel.schedule(&mut links, id(0), Instant::from_millis(24 * 3_600_000));
        let horizon = Instant::from_millis((SLOTS as u64 - 1) * TICK_MS);
        assert_eq!(wheel.pop_due(&mut links, horizon), Some(id(0)));
    }

    /// Two million operations on a wheel that is as full as a worker's table may be, against a sorted list.
    #[test]
    fn it_behaves_like_a_sorted_list_at_full_load() {
        const ENTRIES: u32 = 20_000;
        let mut links = vec![Link::NONE; ENTRIES as usize];
        let mut wheel = Wheel::new(Instant::ZERO);
        let mut deadlines = vec![None; ENTRIES as usize];
        let mut model = BTreeSet::new();
        let mut state = 7u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut now = 0;
        for step in 0..2_000_000u32 {
            let index = random(u64::from(ENTRIES)) as u32;
            match deadlines[index as usize].take() {
                None => {
                    let deadline = now + 1 + random(1_000_000);
                    wheel.schedule(&mut links, id(index), Instant::from_millis(deadline));
                    deadlines[index as usize] = Some(deadline);
                    model.insert((deadline, index));
                }
                // One in ten is cancelled, so that most of the wheel stays full.
                Some(deadline) if random(10) == 0 => {
                    wheel.cancel(&mut links, id(index));
                    model.remove(&(deadline, index));
                }
                Some(deadline) => deadlines[index as usize] = Some(deadline),
            }
            now += random(40);
            while let Some(due) = wheel.pop_due(&mut links, Instant::from_millis(now)) {
                let deadline = deadlines[due.index()].take().expect("scheduled");
                assert!(deadline <= now, "step {step}: {deadline} came up at {now}");
                model.remove(&(deadline, due.number()));
            }
            let first = model.first().map_or(u64::MAX, |(deadline, _)| *deadline);
            assert!(first + TICK_MS > now, "step {step}: {first} is late at {now}");
            assert_eq!(wheel.len(), model.len());
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule(u32, u64),
        Cancel(u32),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..64u32, 1..2_000_000u64).prop_map(|(index, ms)| Step::Schedule(index, ms)),
            (0..64u32).prop_map(Step::Cancel),
            (0..400_000u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Against a list of deadlines that is searched from end to end.
        #[test]
        fn it_behaves_like_a_list(steps in prop::collection::vec(step(), 1..400)) {
            let mut links = vec![Link::NONE; 64];
            let mut wheel = Wheel::new(Instant::ZERO);
            let mut model: [Option<u64>; 64] = [None; 64];
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Schedule(index, ms) => {
                        if model[index as usize].is_none() {
                            wheel.schedule(&mut links, id(index), Instant::from_millis(now + ms));
                            model[index as usize] = Some(now + ms);
                        }
                    }
                    Step::Cancel(index) => {
                        wheel.cancel(&mut links, id(index));
                        model[index as usize] = None;
                    }
                    Step::Pass(ms) => {
                        now += ms;
                        while let Some(due) = wheel.pop_due(&mut links, Instant::from_millis(now)) {
                            let deadline = model[due.index()].take().expect("scheduled");
                            if deadline > now {
                                // Came up early because it was beyond the horizon.
                                wheel.schedule(&mut links, due, Instant::from_millis(deadline));
                                model[due.index()] = Some(deadline);
                            }
                        }
                        for deadline in model.iter().flatten() {
                            prop_assert!(*deadline + TICK_MS > now, "{deadline} is late at {now}");
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.iter().flatten().count());
            }
        }
    }
}
