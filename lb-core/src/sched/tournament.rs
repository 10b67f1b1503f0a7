//! A tournament among costs: a binary tree whose leaves are the servers' costs and whose inner nodes are the lower of the
//! two below, so that the lowest of a thousand is known at once. One that changes climbs ten levels at most.

use super::load::Seen;

/// A load in proportion to a weight: `load / weight`, without dividing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) load: u64,
    /// Not 0.
    pub(super) weight: u32,
}

impl Cost {
    /// More than any load in proportion to any weight.
    pub(super) const INFINITE: Cost = Cost { load: 1, weight: 0 };

    /// Exact: a load of IPVS's kind needs 41 bits and a weight 16.
    pub(super) fn is_below(self, other: Cost) -> bool {
        self.load * u64::from(other.weight) < other.load * u64::from(self.weight)
    }

    fn lower(self, other: Cost) -> Cost {
        if other.is_below(self) { other } else { self }
    }
}

/// Costs by place, and which is the lowest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tournament {
    /// Node 1 is the root, those below node n are 2n and 2n + 1, and the leaves fill the second half.
    nodes: Box<[Cost]>,
    /// The state of the load board that they are from.
    pub(super) seen: Option<Seen>,
}

impl Tournament {
    /// The same, but nothing of it is up to date.
    pub(super) fn unread(&self) -> Tournament {
        Tournament { seen: None, ..self.clone() }
    }

    pub(super) fn new(places: usize) -> Self {
        let nodes = vec![Cost::INFINITE; places.next_power_of_two() * 2].into_boxed_slice();
        Tournament { nodes, seen: None }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes)
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Takes all costs, by place.
    pub(super) fn begin(&mut self, costs: impl Iterator<Item = Cost>) {
        let leaves = self.leaves();
        for (leaf, cost) in self.nodes[leaves..].iter_mut().zip(costs) {
            *leaf = cost;
        }
        for node in (1..leaves).rev() {
            self.nodes[node] = self.nodes[2 * node].lower(self.nodes[2 * node + 1]);
        }
    }

    pub(super) fn set(&mut self, place: usize, cost: Cost) {
        let mut node = self.leaves() + place;
        let mut winner = cost;
        while self.nodes[node] != winner {
            self.nodes[node] = winner;
            if node == 1 {
                return;
            }
            // The lower number first, whichever has changed, so that equal costs of different numbers do not alternate.
            winner = self.nodes[node & !1].lower(self.nodes[node | 1]);
            node /= 2;
        }
    }

    /// The first place with the lowest cost, looking from `position` on and then from the beginning.
    pub(super) fn lowest_from(&self, position: usize) -> Option<usize> {
        let lowest = *self.nodes.get(1)?;
        if lowest == Cost::INFINITE {
            return None;
        }
        let leaves = self.leaves();
        let from = if position < leaves { position } else { 0 };
        let mut node = leaves + from;
        // Up and to the right, to the first part of the tree that has it.
        while lowest.is_below(self.nodes[node]) {
            while node % 2 == 1 {
                node /= 2;
            }
            // No right neighbour: from the beginning, where all of the tree is.
            node = if node == 0 { 1 } else { node + 1 };
        }
        // Down to its first leaf that has it.
        while node < leaves {
            node *= 2;
            node += usize::from(lowest.is_below(self.nodes[node]));
        }
        Some(node - leaves)
    }
}
