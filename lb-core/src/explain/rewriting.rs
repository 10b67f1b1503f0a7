//! What the connection's method makes of a packet, done to the copy.

use super::{
    Story,
    tell::Next,
    words::{self, ends},
};
use crate::{
    conn::{
        entry::{Connection, Direction},
        method::Method,
        second::Second,
    },
    counters::DropReason,
    decide::{
        Relay,
        expecting::Desk,
        flow::{Fit, Path},
        known::Forwarded,
        reading::ReadWith,
    },
    explanation::{Outcome, Stage},
    family::Header,
    flow::key::Ends,
    forward::{
        self,
        cut::Cut,
        edit::{self, Effect as Effects},
        outer::Outer,
        proxy::Effect,
        quote::Numbers,
        tell,
    },
    memory::MemoryPacket,
    module::{expected::Expectation, kept::Calls, kind::ModuleKind, reader::Host},
    packet::Packet,
    wire::headers::Headers,
    worker::{
        Worker,
        cutting::{cut_outer, cut_packet, next_id_v6},
    },
};
use std::net::SocketAddr;

impl<F: Forwarded> Story<F> {
    /// A packet of a connection.
    pub(super) fn rewritten<P: Packet>(
        &mut self,
        worker: &Worker<P>,
        (connection, second, read): (&Connection<F>, Option<Second>, Option<ReadWith>),
        (direction, way): (Direction, Path),
        next: Next,
    ) -> Outcome {
        let mut at = self.parsed.at;
        let before = ends(&self.packet, &at);
        if let Some(mut second) = second {
            let way = (direction, worker.known.backends[connection.server].limit);
            match tell::apply(&mut self.packet, &mut at, connection, &mut second, way) {
                Ok(effect) => self.tell_effect(effect, second),
                Err(reason) => return Outcome::Dropped(reason),
            }
        }
        if let Some(ReadWith::NothingYet(awaited)) = read {
            let way = (direction, connection.method.rewrites_endpoints());
            match (edit::pass_unread(&mut self.packet, &mut at, way), ModuleKind::of_number(awaited.kind)) {
                (Ok(effect), Some(module)) => self.tell_unread(module, effect),
                (Ok(_), None) => {}
                (Err(reason), _) => return Outcome::Dropped(reason),
            }
        }
        if let Some(ReadWith::Talk(of, _)) = read {
            let mut talk = worker.known.talk(of);
            let mut desk = Desk::new(&worker.known, self.now, (connection, self.packet.port()), true);
            let way = (direction, connection.state, way.limit);
            let calls = talk.calls();
            match edit::apply(&mut self.packet, &mut at, &mut talk, way, &mut desk) {
                Ok(effect) => {
                    let (announced, heard) = (desk.announced, desk.calls());
                    self.tell_read((talk.kind, connection.method.is_outward()), effect, announced);
                    self.tell_calls(talk.kind, (calls, talk.calls()), heard);
                }
                Err(reason) => return Outcome::Dropped(reason),
            }
        }
        let apply = |packet: &mut MemoryPacket, at: &Headers<F>, outer: &Outer, last_id: &mut u16| {
            forward::apply(packet, at, &mut connection.clone(), direction, outer, last_id)
        };
        let words = |packet: &MemoryPacket, at: &Headers<F>| {
            Some(words::rewriting(&worker.known.snapshot, connection, direction, at, (before, packet)))
        };
        match self.applied(worker, (connection, way), at, apply, words) {
            Ok(()) => self.delivered(worker, next),
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    /// What telling the server of its client did to the packet.
    fn tell_effect(&mut self, effect: tell::Effect, second: Second) {
        let told = second.told;
        let effect = match effect {
            tell::Effect::Header(effect) => effect,
            tell::Effect::Option(done) => {
                return words::option(&done)
                    .into_iter()
                    .for_each(|text| self.say(Stage::Method, format!("{told}: {text}")));
            }
        };
        let text = match effect {
            Effect::Nothing => return,
            Effect::Numbers => format!("{told}: sequence numbers are those of the other side"),
            Effect::Bare => format!("{told}: without its data and fast open, since the header goes first"),
            Effect::Header(len) => {
                format!("{told}: a header of {len} bytes inserted in front of the payload")
            }
            Effect::Ahead(len) => {
                format!(
                    "{told}: a header of {len} bytes goes before it by itself, as both do not fit into one packet"
                )
            }
        };
        self.say(Stage::Method, text);
    }

    /// What the packet of a connection that is yet to be read goes without.
    fn tell_unread(&mut self, module: ModuleKind, effect: Effects) {
        let why = "it is read when its client has shown that it exists";
        let text = match effect {
            Effects::Bare => format!("module {module}: {why}; until then without data and fast open"),
            _ => format!("module {module}: {why}"),
        };
        self.say(Stage::Method, text);
    }

    /// What a module read in the packet, and what that did to it.
    fn tell_read(
        &mut self,
        (module, is_outward): (ModuleKind, bool),
        effect: Effects,
        announced: Option<Expectation>,
    ) {
        let text = match effect {
            Effects::Nothing => format!("module {module}: read; it goes on as it is"),
            Effects::Numbers => {
                format!("module {module}: read; sequence numbers are those of the other side")
            }
            Effects::Text(old, new) => {
                format!("module {module}: {old} bytes of its text are replaced by {new}")
            }
            Effects::Bare => format!("module {module}: without its data and fast open"),
            Effects::Call(old, new) => format!("module {module}: its call {old} is {new} on the other side"),
            Effects::Cut(passes) => format!(
                "module {module}: {passes} bytes of its payload go on; the sender sends the rest again"
            ),
        };
        self.say(Stage::Method, text);
        if let Some(Expectation { ends, request, server_port, times, .. }) = announced {
            let Ends { protocol, source, destination } = ends;
            let shown = |at: SocketAddr| match at.port() {
                0 if at.ip().is_unspecified() => "anybody".to_owned(),
                0 => format!("{}, any port", at.ip()),
                _ => at.to_string(),
            };
            let to_port = match server_port {
                // Who waits behind a local port.
                0 if is_outward && ends != request => format!(" for {}", request.source),
                0 => String::new(),
                port => format!(" for port {port} of the server"),
            };
            if module.reads_calls() {
                let (client, vip) = (source.ip(), destination.ip());
                let text = format!("module {module}: expects GRE {client} > {vip}, within {}", times.lasts());
                return self.say(Stage::Connection, text);
            }
            let (source, destination) = (shown(source), shown(destination));
            let within = times.lasts();
            let text = format!(
                "module {module}: expects {protocol} {source} > {destination}{to_port}, within {within}"
            );
            self.say(Stage::Connection, text);
        }
    }

    /// What has changed of a call, whose numbers are `told` on the other sides.
    fn tell_calls(&mut self, module: ModuleKind, (before, now): (Calls, Calls), told: [u16; 2]) {
        if before == now {
            return;
        }
        let [client, server] = now;
        let number = |whose: &str, own: Option<u16>, other: &str, told: u16| {
            own.map(|own| format!("; {whose} number {own} is {told} to the {other}")).unwrap_or_default()
        };
        let text = match now {
            [None, None] => format!("module {module}: the call is over"),
            _ => format!(
                "module {module}: a call{}{}",
                number("the client's", client, "server", told[0]),
                number("the server's", server, "client", told[1]),
            ),
        };
        self.say(Stage::Connection, text);
    }

    /// An ICMP error about one.
    pub(super) fn relayed<P: Packet>(&mut self, worker: &Worker<P>, relay: &Relay<F>) -> Outcome {
        let connection = F::connections(&worker.known).get(relay.hit.connection());
        let second = F::connections(&worker.known).second(relay.hit.connection());
        let talk = F::connections(&worker.known).talk(relay.hit.connection());
        let talk = talk.map(|talk| worker.known.talks.get(talk));
        let numbers = Numbers { second: second.as_ref(), talk: talk.as_ref() };
        let way = relay.path(&worker.known);
        let apply = |packet: &mut MemoryPacket, at: &Headers<F>, outer: &Outer, last_id: &mut u16| {
            relay.apply(packet, at, (connection, numbers), outer, last_id)
        };
        let method = connection.method;
        let is_translated = method.sees_replies() || relay.hit.direction() == Direction::Out;
        let words = |_: &MemoryPacket, _: &Headers<F>| {
            is_translated.then(|| format!("{method}: addresses translated, also in the quoted packet"))
        };
        match self.applied(worker, (connection, way), self.parsed.at, apply, words) {
            Ok(()) => match relay.client(&worker.known) {
                Some(hop) if relay.neighbour.is_none() => self.delivered(worker, Next::New(hop)),
                _ => self.delivered(worker, Next::Known(relay.neighbour)),
            },
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    /// Applies the method, and cuts the packet if it is too large: what is shown is the first fragment then.
    fn applied<P: Packet>(
        &mut self,
        worker: &Worker<P>,
        (connection, way): (&Connection<F>, Path),
        mut at: Headers<F>,
        apply: impl FnOnce(&mut MemoryPacket, &Headers<F>, &Outer, &mut u16) -> Result<(), DropReason>,
        words: impl FnOnce(&MemoryPacket, &Headers<F>) -> Option<String>,
    ) -> Result<(), DropReason> {
        let backend = &worker.known.backends[connection.server];
        let fit = way.fit(&at).unwrap_or(Fit::Whole);
        let is_cut_first = fit == Fit::Fragments && connection.method == Method::Tun;
        let (mut fragments, id) = (0, next_id_v6(worker.last_id_v6));
        if is_cut_first {
            fragments = self.cut(cut_packet::<F>(&self.packet, at.l3, way.limit, id));
            let header = self.packet.bytes().get(usize::from(at.l3)..).and_then(Header::<F>::read);
            at = header.map_or(at, |header| Headers::new(usize::from(at.l3), &header));
        }
        let outer = if fit == Fit::OuterFragments { &backend.outer.fragmented() } else { &backend.outer };
        if let Err(reason) = apply(&mut self.packet, &at, outer, &mut worker.last_id.clone()) {
            self.say(Stage::Method, "no room for another header in front of the packet");
            return Err(reason);
        }
        if let Some(text) = words(&self.packet, &at) {
            self.say(Stage::Method, text);
        }
        let inside = match fit {
            Fit::Whole => return Ok(()),
            Fit::Fragments if is_cut_first => "",
            Fit::Fragments => {
                fragments = self.cut(cut_packet::<F>(&self.packet, at.l3, way.limit, id));
                ""
            }
            Fit::OuterFragments => {
                fragments = self.cut(cut_outer(&self.packet, at.l3, (outer, backend.way_mtu), id));
                "the tunnel's packet, since senders of the one inside make none smaller: "
            }
        };
        if fragments == 0 {
            return Err(DropReason::TooBig);
        }
        self.say(Stage::Mtu, format!("{inside}fragmented into {fragments}, of which this is the first"));
        Ok(())
    }

    /// The packet becomes the first of its fragments. Returns how many there are; none if it cannot be cut.
    fn cut(&mut self, cut: Option<Cut>) -> usize {
        let Some(cut) = cut else { return 0 };
        let first = cut.pieces().next().filter(|first| cut.keep(&mut self.packet, first));
        first.map_or(0, |_| cut.pieces().count())
    }
}
