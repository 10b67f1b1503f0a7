//! What becomes of a packet that is not plain. It gets exactly one verdict, and one place carries verdicts out; plain
//! packets are transmitted. That is why the counters add up.

use crate::{
    counters::DropReason,
    ids::NeighbourId,
    packet::{HandOver, WorkerId},
};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To that neighbour, as soon as its address is known. `None` for one that found no place among the neighbours.
    Forward(Option<NeighbourId>),
    /// Back out of the port it came in by; it holds its own answer, Ethernet addresses included.
    Answer,
    /// To the worker that owns it.
    HandOver(WorkerId, HandOver),
    /// It was for the director itself, which has taken it in.
    Host,
    /// It is for the director itself: for whoever waits for it there, or it ends here for that reason.
    Deliver(DropReason),
    /// It ends here.
    Drop(DropReason),
}
