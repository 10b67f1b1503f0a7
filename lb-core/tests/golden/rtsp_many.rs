//! RTSP: messages and media that are many.

use super::{
    common::{frame::*, plan::*, world::World},
    rtsp::{message, plan},
    segment::segment,
};
use lb_core::service::plan::Method;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:554";
const SERVER: &str = "198.51.100.11:554";

/// What a segment costs does not grow by how many messages it has.
#[test]
fn media_is_said_to_be_expected_once_for_all_messages_of_a_segment() {
    let mut world = World::new(&plan(Method::Dr, &[SERVER]));
    let mut say = |flags: u8, at: usize, text: &str| {
        let frame = segment((CLIENT, SERVICE), flags, (at as u32, 5_000), &[], text.as_bytes());
        assert_eq!(world.receive(WAN, &frame.via_gateway()).len(), 1);
        world.counters(0).expected.get()
    };
    say(SYN, 999, "");
    let ports = (0..8).map(|by| format!("client_port={}", 5_000 + 2 * by)).collect::<Vec<_>>().join(",");
    let asked = message(&["SETUP rtsp://192.0.2.100/a RTSP/1.0", &format!("Transport: {ports}")]);
    let before = say(ACK, 1_000, &asked);
    let plays = message(&["PLAY a RTSP/1.0"]).repeat(50);
    assert_eq!(say(ACK, 1_000 + asked.len(), &plays) - before, 16);
}
