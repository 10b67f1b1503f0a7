//! Packets that are larger than the way out carries: they go on in fragments, as their sender allows, or in a tunnel's
//! packet that is fragmented.
//!
//! Of a packet in a tunnel it is the packet inside that is fragmented, where its sender allows that (RFC 4459 3.4): each
//! fragment is a whole packet of the tunnel then, with GUE's ports, which servers and routers on the way spread by. The
//! tunnel's end need not put anything together, and the client's identification tells its datagrams apart, where the tunnel's
//! would come round in moments at speed (RFC 4963).

use super::{Worker, send::untag};
use crate::{
    conn::{connections::Hit, method::Method},
    counters::DropReason,
    decide::{flow::Fit, known::Forwarded},
    family::{Family, Header, V6},
    forward::{self, cut::Cut, outer::Outer, shim::Spread, tun},
    ids::{NeighbourId, ServerId},
    limits::{MAX_MADE_FRAGMENTS, MAX_MTU, MIN_MTU},
    packet::{Io, Packet},
    time::Instant,
    wire::{headers::Headers, ipv6::SMALLEST_MTU},
};
use arrayvec::ArrayVec;

/// The fragments of one packet.
type Fragments<P> = ArrayVec<P, MAX_MADE_FRAGMENTS>;

// Less goes into a fragment in a tunnel, and behind a header with options.
const _: () = assert!(MAX_MADE_FRAGMENTS >= 2 * MAX_MTU as usize / (MIN_MTU as usize - 128));

/// What a packet is cut for.
#[derive(Clone, Copy)]
pub(super) struct Cutting {
    pub(super) fit: Fit,
    /// The server that it goes to, or comes from.
    pub(super) server: ServerId,
    /// Bytes of the largest packet that can go on in one piece, without what a tunnel adds.
    pub(super) limit: u16,
    /// Where packets of its flow come from in a tunnel, if it is of one.
    pub(super) spread: Option<Spread>,
    /// Who gets it next.
    pub(super) neighbour: Option<NeighbourId>,
}

impl<P: Packet> Worker<P> {
    /// A packet of a connection that does not fit in one piece is rewritten and sent.
    #[cold]
    #[inline(never)]
    pub(super) fn forward_in_fragments<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        at: &Headers<F>,
        hit: Hit,
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        let (connections, backends, _) = F::parts(&mut self.known);
        let connection = connections.get_mut(hit.connection());
        let (server, method, direction) = (connection.server, connection.method, hit.direction());
        if method != Method::Tun {
            let outer = &backends[server].outer;
            if let Err(reason) =
                forward::apply(&mut packet, at, connection, direction, outer, &mut self.last_id)
            {
                return self.drop(packet, reason, io);
            }
        }
        let connection = F::connections(&self.known).get(hit.connection());
        let path = self.known.grown_path(connection, direction);
        let Some(fit) = path.fit(at) else { return self.drop(packet, DropReason::TooBig, io) };
        let spread = Some(Spread::of_connection(connection));
        let cutting = Cutting { fit, server, limit: path.limit, spread, neighbour };
        self.send_in_fragments(now, packet, (at, method), cutting, io);
    }

    /// Sends a packet in fragments. It has been rewritten by then, but not been put into a tunnel.
    #[cold]
    #[inline(never)]
    pub(super) fn send_in_fragments<F: Family>(
        &mut self,
        now: Instant,
        mut packet: P,
        (at, method): (&Headers<F>, Method),
        Cutting { fit, server, limit, spread, neighbour }: Cutting,
        io: &mut impl Io<Packet = P>,
    ) {
        let backend = &self.known.backends[server];
        let (outer, way_mtu) = (backend.outer, backend.way_mtu);
        if fit == Fit::OuterFragments {
            let outer = &outer.fragmented();
            if let Err(reason) = wrap::<F>(&mut packet, at.l3, (outer, spread), &mut self.last_id) {
                return self.drop(packet, reason, io);
            }
            self.last_id_v6 = next_id_v6(self.last_id_v6);
            let cut = cut_outer(&packet, at.l3, (outer, way_mtu), self.last_id_v6);
            for fragment in self.cut(packet, cut, io) {
                self.send_fragment(now, fragment, neighbour, io);
            }
            return;
        }
        if F::ETHERTYPE == V6::ETHERTYPE {
            self.last_id_v6 = next_id_v6(self.last_id_v6);
        }
        let cut = cut_packet::<F>(&packet, at.l3, limit, self.last_id_v6);
        for mut fragment in self.cut(packet, cut, io) {
            if method == Method::Tun
                && let Err(reason) = wrap::<F>(&mut fragment, at.l3, (&outer, spread), &mut self.last_id)
            {
                self.drop(fragment, reason, io);
                continue;
            }
            self.send_fragment(now, fragment, neighbour, io);
        }
    }

    fn send_fragment(
        &mut self,
        now: Instant,
        mut fragment: P,
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        untag(&mut fragment);
        self.send(now, fragment, neighbour, io);
    }

    /// Cuts a packet: the last piece stays in its buffer, the others get buffers of their own. All or none, since nobody can
    /// use a part; then it ends here, and nothing is returned.
    fn cut(&mut self, mut packet: P, cut: Option<Cut>, io: &mut impl Io<Packet = P>) -> Fragments<P> {
        let mut fragments = Fragments::new();
        let Some(cut) = cut else {
            self.drop(packet, DropReason::TooBig, io);
            return fragments;
        };
        packet.settle();
        let mut pieces = cut.pieces().peekable();
        let mut trouble = None;
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                trouble = (!cut.keep(&mut packet, &piece)).then_some(DropReason::NoHeadroom);
            } else if fragments.len() + 1 == MAX_MADE_FRAGMENTS {
                trouble = Some(DropReason::TooBig);
            } else if let Some(mut fragment) = io.allocate(packet.port()) {
                trouble = (!cut.copy(&packet, &piece, &mut fragment)).then_some(DropReason::NoBuffer);
                fragments.push(fragment);
            } else {
                self.books.counters.no_buffer.bump();
                trouble = Some(DropReason::NoBuffer);
            }
            if trouble.is_some() {
                break;
            }
        }
        if let Some(reason) = trouble {
            fragments.drain(..).for_each(|fragment| io.release(fragment));
            self.drop(packet, reason, io);
            return fragments;
        }
        let counters = &self.books.counters;
        counters.originated.add(fragments.len() as u64);
        fragments.push(packet);
        counters.fragmented.bump();
        counters.made_fragments.add(fragments.len() as u64);
        fragments
    }
}

/// Puts a fragment into the tunnel to its server.
pub(crate) fn wrap<F: Family>(
    fragment: &mut impl Packet,
    l3: u16,
    (outer, spread): (&Outer, Option<Spread>),
    last_id: &mut u16,
) -> Result<(), DropReason> {
    let l3 = usize::from(l3);
    let header = fragment.bytes().get(l3..).and_then(Header::<F>::read).ok_or(DropReason::NoHeadroom)?;
    let at = Headers::new(l3, &header);
    match spread {
        Some(spread) => tun::fragment(fragment, &at, (outer, spread), last_id),
        None => forward::outfit(fragment, &at, outer, last_id),
    }
}

/// How a packet is cut for a way that carries so much. One that became IPv6's on its way fits every way there afterwards, as its
/// sender makes none smaller: RFC 7915 4.
pub(crate) fn cut_packet<F: Family>(packet: &impl Packet, l3: u16, limit: u16, id: u32) -> Option<Cut> {
    match F::ETHERTYPE == V6::ETHERTYPE {
        false => Cut::of_ipv4(packet, l3, limit),
        true => Cut::of_ipv6(packet, l3, limit.min(SMALLEST_MTU), id),
    }
}

/// How a tunnel's packet is cut for a way that carries so much.
pub(crate) fn cut_outer(
    packet: &impl Packet,
    l3: u16,
    (outer, way_mtu): (&Outer, u16),
    id: u32,
) -> Option<Cut> {
    match outer.is_ipv6() {
        false => Cut::of_ipv4(packet, l3, way_mtu),
        true => Cut::of_ipv6(packet, l3, way_mtu, id),
    }
}

/// The identification of the next packet of IPv6 that is fragmented: the highest byte is the worker's.
pub(crate) fn next_id_v6(last: u32) -> u32 {
    const OF_WORKER: u32 = 0xff << 24;
    last & OF_WORKER | last.wrapping_add(1) & !OF_WORKER
}
