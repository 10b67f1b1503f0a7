//! The router: which director gets a flow. Both directions of a flow get the same.

/// Buckets of resilient hashing.
const BUCKETS: usize = 256;

/// How flows are spread over next hops.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    /// Next hops: numbers of directors.
    members: Vec<usize>,
    /// With resilient hashing: the next hop of each bucket. A next hop that goes takes no other's flows with it.
    buckets: Option<Vec<usize>>,
    /// The first next hop gets everything.
    one_active: bool,
}

impl Router {
    pub(crate) fn new(members: Vec<usize>, resilient: bool, one_active: bool) -> Self {
        let dealt = |bucket: usize| members[bucket % members.len()];
        let buckets = resilient.then(|| (0..BUCKETS).map(dealt).collect());
        Router { members, buckets, one_active }
    }

    /// The director that a flow goes to, if there is any; so many turns later, while nobody agrees whose it is.
    pub(crate) fn choose(&self, flow: u64, turn: u64) -> Option<usize> {
        let hash = (flow.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).wrapping_add(turn) as usize;
        match &self.buckets {
            _ if self.members.is_empty() => None,
            _ if self.one_active => self.members.first().copied(),
            Some(buckets) => Some(buckets[hash % BUCKETS]),
            None => Some(self.members[hash % self.members.len()]),
        }
    }

    /// A next hop goes.
    pub(crate) fn remove(&mut self, director: usize) {
        self.members.retain(|member| *member != director);
        let members = &self.members;
        if let Some(buckets) = self.buckets.as_mut().filter(|_| !members.is_empty()) {
            let orphans = buckets.iter_mut().filter(|of| **of == director);
            orphans.enumerate().for_each(|(at, bucket)| *bucket = members[at % members.len()]);
        }
    }

    /// A next hop comes, and gets its share from the others.
    pub(crate) fn add(&mut self, director: usize) {
        if self.members.contains(&director) {
            return;
        }
        self.members.push(director);
        self.members.sort_unstable();
        let every = self.members.len();
        if let Some(buckets) = &mut self.buckets {
            buckets.iter_mut().step_by(every).for_each(|bucket| *bucket = director);
        }
    }
}
