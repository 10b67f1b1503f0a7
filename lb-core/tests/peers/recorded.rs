//! What was recorded of directors that spoke, and is repeated as fast as the network carries it.

use crate::net::{KEY, Net, exception};

/// Whoever repeats it does not decide who is asked which run it is, nor whose question is answered.
#[test]
fn what_was_recorded_keeps_nobody_who_starts_anew_from_being_heard() {
    let mut net = Net::new(2, 1_000, 21);
    for node in [0, 1, 0, 0] {
        net.quiet(3_000);
        net.restart(node, KEY);
    }
    net.quiet(3_000);
    let recorded = net.log.clone();
    // The questions that it asked are those of this run of the other one.
    net.restart(0, KEY);
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.nodes[1].own = (200..300).map(|number| (number, exception(number, 2))).collect();
    for _ in 0..300 {
        for _ in 0..20 {
            let at = net.draw(recorded.len() as u64) as usize;
            let (from, to, datagram) = &recorded[at];
            net.deliver(*from, *to, datagram);
        }
        net.quiet(10);
    }
    assert!(net.peer(0).is_up && net.peer(1).is_up);
    net.assert_told(0, 1);
    net.assert_told(1, 0);
}
