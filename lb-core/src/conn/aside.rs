//! What a method needs of a connection besides what all have: a few bytes that each method reads in its own way, since
//! no connection is of two methods. So a connection of any method takes one line.

use crate::{
    cast::small,
    family::{Family, V4},
    ids::NeighbourId,
    wire::checksum::Folded,
};

/// What NAT does to the checksums of a connection's packets. The same for all of them, so it is computed once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// To that of the IPv4 header: another address, one off the time to live.
    pub header: Folded,
    /// To that of the segment or datagram: the address, which the pseudo-header holds, and the port.
    pub segment: Folded,
}

/// What FullNAT needs: both directions change the same words, so one change serves for either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalEnd<F: Family = V4> {
    /// The director's address that the server sees.
    pub address: F::Address,
    /// The port that the server sees.
    pub port: u16,
    /// What both other addresses do to the checksums of the client's packets.
    pub addresses: Folded,
}

/// What SNAT needs: where replies come to, and where packets to whoever is asked go next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutwardEnd<F: Family = V4> {
    /// The director's address that packets leave with.
    pub address: F::Address,
    /// The port that they leave with.
    pub port: u16,
    /// The next hop outward.
    pub neighbour: Option<NeighbourId>,
}

/// The bytes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Aside<F: Family>(F::Aside);

// NAT: changes of header and segment of the client's packets, and of the server's. FullNAT: port, change, address. SNAT has
// the next hop in the place of the change, which takes few instructions there: one address changes, not two. So that both
// find replies alike, address and port are where FullNAT has them.
const PORT: usize = 0;
const CHANGE: usize = 2;
const NEIGHBOUR: usize = CHANGE;
const ADDRESS: usize = 4;

impl<F: Family> Aside<F> {
    /// Of a method that needs nothing.
    pub(super) fn empty() -> Self {
        Aside(F::Aside::default())
    }

    /// Of a NAT connection, by direction.
    pub(super) fn of_rewrites(rewrites: [Rewrite; 2]) -> Self {
        let mut aside = Self::empty();
        for (at, rewrite) in rewrites.into_iter().enumerate() {
            aside.put(4 * at, rewrite.header.raw());
            aside.put(4 * at + 2, rewrite.segment.raw());
        }
        aside
    }

    /// Of a FullNAT connection.
    pub(super) fn of_local(local: LocalEnd<F>) -> Self {
        let mut aside = Self::empty();
        aside.put(PORT, local.port);
        aside.put(CHANGE, local.addresses.raw());
        F::put(aside.0.as_mut(), ADDRESS, local.address);
        aside
    }

    /// Of an SNAT connection.
    pub(super) fn of_outward(outward: OutwardEnd<F>) -> Self {
        let mut aside = Self::empty();
        aside.put(PORT, outward.port);
        aside.put(NEIGHBOUR, small(NeighbourId::index_of(outward.neighbour)));
        F::put(aside.0.as_mut(), ADDRESS, outward.address);
        aside
    }

    #[inline(always)]
    pub(super) fn rewrite(&self, direction: usize) -> Rewrite {
        let at = 4 * direction;
        Rewrite { header: Folded::of_raw(self.get(at)), segment: Folded::of_raw(self.get(at + 2)) }
    }

    #[inline(always)]
    pub(super) fn local(&self) -> LocalEnd<F> {
        LocalEnd {
            address: F::get(self.0.as_ref(), ADDRESS),
            port: self.get(PORT),
            addresses: Folded::of_raw(self.get(CHANGE)),
        }
    }

    #[inline(always)]
    pub(super) fn outward(&self) -> OutwardEnd<F> {
        OutwardEnd {
            address: F::get(self.0.as_ref(), ADDRESS),
            port: self.get(PORT),
            neighbour: NeighbourId::at(self.get(NEIGHBOUR)),
        }
    }

    #[inline(always)]
    fn get(&self, at: usize) -> u16 {
        let bytes = self.0.as_ref();
        u16::from_ne_bytes([bytes[at], bytes[at + 1]])
    }

    fn put(&mut self, at: usize, value: u16) {
        self.0.as_mut()[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::Change;

    #[test]
    fn each_method_reads_what_it_wrote() {
        let folded = |word| Change::OF_NOTHING.word(0, word).folded();
        let rewrites = [(1, 2), (0xfffe, 4)]
            .map(|(header, segment)| Rewrite { header: folded(header), segment: folded(segment) });
        let nat = Aside::<V4>::of_rewrites(rewrites);
        assert_eq!([nat.rewrite(0), nat.rewrite(1)], rewrites);
        let local = LocalEnd { address: 0xc633_6414, port: 40_001, addresses: folded(0x1234) };
        assert_eq!(Aside::<V4>::of_local(local).local(), local);
        let outward = OutwardEnd { address: 0xc000_0232, port: 40_001, neighbour: NeighbourId::at(7) };
        let snat = Aside::<V4>::of_outward(outward);
        assert_eq!(snat.outward(), outward);
        assert_eq!((snat.local().address, snat.local().port), (outward.address, outward.port), "as FullNAT");
    }
}
