//! PPTP of several clients, some behind one address, with two servers, over several workers: whatever they do in whatever
//! order, each packet of a call comes to the other end of it, and to nobody when there is none.

use super::{
    common::{
        frame::*,
        plan::*,
        world::{Setup, World},
    },
    pptp_ends::*,
};
use lb_core::service::plan::Method;
use proptest::prelude::*;

const WORKERS: usize = 4;
const CLIENTS: [&str; 6] = [
    "203.0.113.10:4000",
    "203.0.113.10:4001",
    "203.0.113.10:5000",
    "203.0.113.11:4000",
    "203.0.113.11:4001",
    "203.0.113.12:1723",
];
/// The number that every client gives its call, and the one that every server does.
const NUMBERS: [u16; 2] = [5, 7];

/// Something that happens to a client.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It calls, if it has no call; a control connection is there already, or is opened.
    Call,
    /// It clears its call, and the server says that it is over.
    Clear,
    /// The server refuses a call.
    Refuse,
    /// The server ends the control connection.
    Reset,
    /// It asks for another call while there is one.
    Another,
    /// The two have nothing to say for a while.
    Silence,
}

/// A client, with its control connection if it has one, and what both ends have been told of their call, if there is one.
#[derive(Clone, Default)]
struct Place {
    control: Option<Dialled>,
    told: Option<[u16; 2]>,
}

fn events() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        6 => Just(Event::Call),
        2 => Just(Event::Clear),
        1 => Just(Event::Refuse),
        2 => Just(Event::Reset),
        1 => Just(Event::Another),
        1 => Just(Event::Silence),
    ];
    prop::collection::vec((0..CLIENTS.len(), event), 1..25)
}

fn happens(world: &mut World, client: &str, place: &mut Place, event: Event) {
    if matches!(event, Event::Call | Event::Refuse) && place.control.is_none() {
        place.control = Some(Dialled::new(world, client));
    }
    let Some(control) = &mut place.control else { return };
    match event {
        Event::Call if place.told.is_none() => {
            place.told = Some(control.call(world, NUMBERS[0], NUMBERS[1]));
        }
        Event::Refuse if place.told.is_none() => {
            let asked = control.say(world, 0, &message(OUTGOING_CALL_REQUEST, NUMBERS[0], 0, 0));
            let [told, _] = numbers(&asked);
            let refused = control.say(world, 1, &message(OUTGOING_CALL_REPLY, 0, told, 4));
            assert_eq!(numbers(&refused)[1], NUMBERS[0]);
        }
        Event::Another if place.told.is_some() => {
            let asked = control.say(world, 0, &message(OUTGOING_CALL_REQUEST, 6, 0, 0));
            assert_eq!(numbers(&asked), [0, 0]);
        }
        Event::Clear => {
            let Some([told_server, told_client]) = place.told.take() else { return };
            let clears = control.say(world, 0, &message(CALL_CLEAR_REQUEST, NUMBERS[0], 0, 0));
            assert_eq!(numbers(&clears), [told_server, 0]);
            let over = control.say(world, 1, &message(CALL_DISCONNECT_NOTIFY, NUMBERS[1], 0, 0));
            assert_eq!(numbers(&over), [told_client, 0]);
        }
        Event::Reset => {
            let mut reset = tcp(&control.server, &control.seen, RST);
            reset.set_sequence(control.said[1]);
            assert_eq!(world.receive(LAN, &reset.via_server()).len(), 1);
            *place = Place::default();
        }
        Event::Silence => {
            world.pass(1_000);
        }
        Event::Call | Event::Refuse | Event::Another => {}
    }
}

/// What both ends of every client's call send comes to the other end, wherever it arrives.
fn all_go_where_they_belong(world: &mut World, places: &[Place], worker: usize) {
    for (number, place) in places.iter().enumerate() {
        let Some(control) = &place.control else { continue };
        let worker = (worker + number) % WORKERS;
        // Where there is no call, what one would have.
        let [told_server, told_client] =
            place.told.unwrap_or([&control.seen, &control.client].map(|end| endpoint(end).port()));
        let (address, server) = (control.address(&control.client), control.address(&control.server));
        let out = control.client_says(told_client).via_gateway();
        let back = control.server_says(told_server).via_server();
        let sent =
            [(WAN, &out), (LAN, &back)].map(|(port, frame)| world.burst(worker, &[(port, frame.clone())]));
        if place.told.is_none() {
            assert!(sent.iter().all(Vec::is_empty), "there is no call");
            continue;
        }
        let (from, to, call) = called(&sent[0], &out);
        let seen = control.address(&control.seen);
        assert_eq!((from, to, call), (seen.to_string(), server.to_string(), NUMBERS[1]));
        let (from, to, call) = called(&sent[1], &back);
        assert_eq!((from, to, call), (VIP.to_string(), address.to_string(), NUMBERS[0]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn calls_of_many(
        events in events(),
        method in prop::sample::select(vec![Method::Nat, Method::FullNat]),
        mut worker in 0..WORKERS,
    ) {
        let mut world = World::with(&plan(method), Setup { workers: WORKERS, ..Setup::default() });
        let mut places = vec![Place::default(); CLIENTS.len()];
        for (client, event) in events {
            happens(&mut world, CLIENTS[client], &mut places[client], event);
            all_go_where_they_belong(&mut world, &places, worker);
            worker += 1;
        }
        let live = places.iter().filter(|place| place.control.is_some()).count();
        prop_assert!(world.connections().len() >= live);
    }
}
