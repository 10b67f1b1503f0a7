//! How a server is chosen for a new connection, looked on or rehearsed.

use super::{Story, words};
use crate::{
    conn::entry::Direction,
    counters::DropReason,
    decide::{
        Decision, Open,
        known::{Forwarded, Known},
        opening::{Opener, Opening, TurnedAway, request},
        quic::Called,
    },
    explanation::Stage,
    ids::{ConnectionId, ServerId, ServiceId},
    packet::{Packet, WorkerId},
    peers::told::Teller,
    sched::{
        Turn, call,
        load::{Load, LoadBoard, Loads},
        persistence::{Client, Remembered},
    },
    worker::{Worker, witness::Witness},
};

/// Servers that are listed with their loads.
const MOST_LISTED: usize = 16;

impl<P: Packet, F: Forwarded> Witness<P, F> for Story<F> {
    fn decided(&mut self, worker: &Worker<P>, decision: &Decision<F>) {
        self.tell(worker, decision);
    }

    fn chooses(&mut self, known: &Known, service: ServiceId, turn: &Turn) {
        self.note_grounds(known, service, turn);
    }

    fn chose(&mut self, known: &Known, service: ServiceId, chosen: Option<ServerId>, loads: &Loads<'_>) {
        self.tell_choice(known, service, chosen, loads);
    }

    fn opens(&mut self, worker: &Worker<P>, opening: &Opening<F>) {
        self.tell_opening(worker, opening);
    }
}

impl<F: Forwarded> Story<F> {
    /// What would happen to a packet that opens a connection. `replaces` is one of its flow that ends before.
    pub(super) fn rehearse_open<P: Packet>(
        &mut self,
        worker: &Worker<P>,
        open: Open,
        replaces: Option<ConnectionId>,
    ) {
        if let Some(told) = open.told {
            let teller = Some(told.teller);
            return self.rehearse_opening(worker, (Direction::In, told.server), teller, replaces);
        }
        let (known, service) = (&worker.known, open.service);
        let board = loads_without::<F>(known, service, replaces);
        let loads = board.view(WorkerId(0));
        let mut turn = worker.turns[service].rehearsed();
        self.note_grounds(known, service, &turn);
        let called = known.called_by_id(&self.packet, &self.parsed, service).and_then(Called::server);
        let stays = || {
            known.client_of(&self.packet, &self.parsed, service).and_then(|client| {
                let entry = known.team.persistence.of(&client, self.now)?;
                known.stays_with(service, entry.kept).then_some(entry.kept.server)
            })
        };
        let chosen = called
            .or_else(stays)
            .or_else(|| known.choose(self.now, &self.parsed, service, &mut turn, &loads));
        self.tell_choice(known, service, chosen, &loads);
        match chosen {
            Some(server) => self.rehearse_opening(worker, (Direction::In, server), None, replaces),
            None => {
                let act = known.refuse(self.now, &self.parsed, open.unserved, known.why_none(service));
                self.tell(worker, &act.into());
            }
        }
    }

    /// What would become of a packet that opens a connection with that server.
    pub(super) fn rehearse_opening<P: Packet>(
        &mut self,
        worker: &Worker<P>,
        (direction, server): (Direction, ServerId),
        teller: Option<Teller>,
        replaces: Option<ConnectionId>,
    ) {
        let (parsed, turn) = (self.parsed, worker.known.port_turn);
        let opener = Opener {
            now: self.now,
            packet: &self.packet,
            parsed: &parsed,
            direction,
            replaces,
            turn,
            teller,
        };
        match worker.known.opening(&opener, server) {
            Ok(opening) => self.tell_opening(worker, &opening),
            Err(TurnedAway { act, .. }) => self.tell(worker, &act.into()),
        }
    }

    fn note_grounds(&mut self, known: &Known, service: ServiceId, turn: &Turn) {
        let config = &known.snapshot.services[service];
        let grounds = config.scheduler.grounds(&request(self.now, &self.parsed), turn);
        self.grounds = words::grounds(grounds);
    }

    /// Whether the client stays with a server that it had before.
    fn tell_persistence(&mut self, known: &Known, client: &Client, chosen: Option<ServerId>) {
        let kind = if call::is_call(client.network) { "call" } else { "client" };
        let who = format!("{kind} {}", client.network);
        let entry = known.team.persistence.of(client, self.now);
        let text = match entry.filter(|entry| Some(entry.kept.server) == chosen) {
            Some(Remembered { held, left, .. }) if held > 0 => {
                format!("{who} stays with its server: {held} connections, {left} left")
            }
            Some(Remembered { left, .. }) => format!("{who} stays with its server: {left} left"),
            None => format!("{who} is not remembered; the scheduler chooses"),
        };
        self.say(Stage::Scheduler, format!("persistence: {text}"));
    }

    /// The scheduler's choice, with the numbers it rests on.
    fn tell_choice(
        &mut self,
        known: &Known,
        service: ServiceId,
        chosen: Option<ServerId>,
        loads: &Loads<'_>,
    ) {
        let config = &known.snapshot.services[service];
        if config.method.is_outward() {
            self.server = chosen;
            return;
        }
        let endpoint = |server: ServerId| {
            let plan = &known.snapshot.servers[server].plan;
            plan.endpoint().to_string()
        };
        let none = || match known.why_none(service) {
            DropReason::ServersFull => "every server that it may choose is full".into(),
            _ => "no server takes new connections".into(),
        };
        let choice = chosen.map_or_else(none, endpoint);
        self.server = chosen;
        if let Some(called) = known.called_by_id(&self.packet, &self.parsed, service) {
            self.say(Stage::Scheduler, words::called(called, endpoint));
            if called.server().is_some() {
                return;
            }
        }
        if let Some(client) = known.client_of(&self.packet, &self.parsed, service) {
            self.tell_persistence(known, &client, chosen);
        }
        self.say(Stage::Scheduler, format!("{}, {}: {choice}", config.scheduler_kind, self.grounds));
        for &server in config.servers.iter().take(MOST_LISTED) {
            let mark = if chosen == Some(server) { " <- chosen" } else { "" };
            let Load { active, inactive } = loads.of(server);
            let plan = &known.snapshot.servers[server].plan;
            let (weight, thresholds) = (plan.advised_weight(), plan.limits());
            let full = match thresholds.is_some() && loads.was_full(server) {
                true => format!(", full from {} on", thresholds.upper),
                false => String::new(),
            };
            let text = format!(
                "{} weight {weight}, connections {active} active, {inactive} inactive{full}{mark}",
                endpoint(server)
            );
            self.say(Stage::Scheduler, text);
        }
        let more = config.servers.len().saturating_sub(MOST_LISTED);
        if more > 0 {
            self.say(Stage::Scheduler, format!("and {more} more servers"));
        }
    }
}

/// The loads that a scheduler would see: those of now, less a connection that ends before.
fn loads_without<F: Forwarded>(known: &Known, service: ServiceId, ends: Option<ConnectionId>) -> LoadBoard {
    let board = LoadBoard::new(1, known.snapshot.servers.len());
    let ends = ends.map(|id| F::connections(known).get(id));
    for &server in &known.snapshot.services[service].servers {
        let mut load = known.loads().of(server);
        if let Some(connection) = ends.filter(|connection| connection.server == server) {
            load.count(connection.state.is_active(), -1);
        }
        board.publish(WorkerId(0), server, load);
        board.remember(server, known.loads().was_full(server));
    }
    board
}
