//! Our tables against those of Linux IPVS, typed in independently, with every difference and its reason.

use super::*;

/// IPVS's tables, as in Linux: for each of our states where a SYN (with ACK or without), FIN, ACK and RST lead,
/// from the client, from the server, and from the client when the server is not seen. A packet with none of these
/// flags closes the connection.
const IPVS: [(State, [&str; 3]); 9] = [
    (State::None, ["SR CL CL CL", "SS TW ES CL", "SR CL CL CL"]),
    (SynSent, ["ES SS SS CL", "SS SS SS SS", "ES SS SS CL"]),
    (SynRecv, ["SR TW ES SR", "SR TW ES CL", "SR TW ES SR"]),
    (Established, ["ES CW ES CL", "ES FW ES CL", "ES FW ES CL"]),
    (FinWait, ["SR TW FW CL", "SS FW FW CL", "SR FW FW CL"]),
    (TimeWait, ["SR TW TW CL", "SS TW TW TW", "SR TW TW CL"]),
    (State::Close, ["SR CL CL CL", "SS CL CL CL", "SR CL CL CL"]),
    (CloseWait, ["SR CW CW CL", "SS TW CW CL", "SR CW CW CL"]),
    (LastAck, ["SR LA CL LA", "SS LA LA CL", "SR LA CL LA"]),
];

fn ipvs(state: State, view: View, event: Event) -> State {
    let column = match event {
        Syn | SynAck => 0,
        Fin => 1,
        Ack => 2,
        Rst => 3,
        Event::Other => return State::Close,
    };
    let (_, rows) = IPVS.iter().find(|(from, _)| *from == state).unwrap();
    match rows[view as usize].split(' ').nth(column).unwrap() {
        "SS" => SynSent,
        "SR" => SynRecv,
        "ES" => Established,
        "FW" => FinWait,
        "TW" => TimeWait,
        "CL" => State::Close,
        "CW" => CloseWait,
        "LA" => LastAck,
        other => panic!("{other}"),
    }
}

/// In which view, from which states, on what, where we go instead (`None`: stay), and why.
type Difference = (&'static [View], &'static [State], Event, Option<State>, &'static str);

const ALL_VIEWS: &[View] = &[FromClient, FromServer, ClientOnly];
const BOTH_CLIENTS: &[View] = &[FromClient, ClientOnly];
const CLOSING: &[State] = &[FinWait, TimeWait, State::Close, CloseWait, LastAck];

/// Every difference from IPVS that is meant.
const DIFFERENCES: &[Difference] = &[
    (
        BOTH_CLIENTS,
        &[State::None],
        Syn,
        Some(SynSent),
        "IPVS begins in SYN_RECV. We tell an answered request from an unanswered one, which shows a dead server.",
    ),
    (
        &[FromClient],
        &[State::None],
        SynAck,
        None,
        "A client's SYN+ACK opens nothing where the server's SYN is seen.",
    ),
    (
        BOTH_CLIENTS,
        &[State::None],
        Ack,
        Some(Established),
        "Adopting; IPVS schedules such packets by sysctl only.",
    ),
    (&[FromClient], &[State::None], Fin, Some(CloseWait), "Adopting: the server has yet to close."),
    (&[ClientOnly], &[State::None], Fin, Some(FinWait), "Adopting: the server may have yet to close."),
    (
        BOTH_CLIENTS,
        &[SynSent],
        Syn,
        None,
        "A repeated SYN proves nothing; IPVS's SYN_SENT is a server's request.",
    ),
    (
        BOTH_CLIENTS,
        &[SynSent],
        SynAck,
        None,
        "Nor does this, as its sender has not seen the server's number.",
    ),
    (
        BOTH_CLIENTS,
        &[SynSent],
        Ack,
        Some(Established),
        "As IPVS from SYN_RECV, in which it has put this connection.",
    ),
    (&[ClientOnly], &[SynSent], Fin, Some(FinWait), "The client's first acknowledgement was lost."),
    (
        &[FromClient],
        &[SynRecv],
        Fin,
        Some(CloseWait),
        "Only the client has closed, the server's FIN is to come.",
    ),
    (&[ClientOnly], &[SynRecv], Fin, Some(FinWait), "The same where the server is not seen."),
    (
        BOTH_CLIENTS,
        &[SynRecv],
        Rst,
        Some(State::Close),
        "The client refuses; half-open connections must not linger.",
    ),
    (
        BOTH_CLIENTS,
        &[TimeWait],
        Rst,
        None,
        "A stray RST must not end TIME_WAIT, RFC 1337; as IPVS from the server.",
    ),
    (BOTH_CLIENTS, &[LastAck], Rst, Some(State::Close), "The client is gone; as IPVS from the server."),
    (
        &[FromServer],
        &[State::None],
        Syn,
        Some(SynRecv),
        "The server asks where a module expects it; SYN_SENT is a client's request, which nobody has answered.",
    ),
    (&[FromServer], &[State::None], SynAck, Some(SynRecv), "Adopting; IPVS does not tell this from a SYN."),
    (&[FromServer], &[State::None], Fin, Some(FinWait), "Adopting: the client has yet to close."),
    (&[FromServer], &[SynSent], SynAck, Some(SynRecv), "IPVS is in SYN_RECV since the client's SYN."),
    (&[FromServer], &[SynSent], Rst, Some(State::Close), "The server refuses; as IPVS from SYN_RECV."),
    (
        &[FromServer],
        &[SynRecv],
        Ack,
        None,
        "Data before the client's acknowledgement (RFC 7413) proves nothing about a client that may be forged.",
    ),
    (
        &[FromServer],
        &[SynRecv],
        Fin,
        Some(FinWait),
        "Only the server has closed, the client's FIN is to come.",
    ),
    (
        &[FromServer],
        &[CloseWait],
        Fin,
        Some(LastAck),
        "The client keeps TIME_WAIT, as it closed first; we need not. IPVS has LAST_ACK but never gets there.",
    ),
    (
        BOTH_CLIENTS,
        &[TimeWait, State::Close],
        Syn,
        None,
        "A client's SYN begins a new connection, before the table.",
    ),
    (
        BOTH_CLIENTS,
        &[FinWait, CloseWait, LastAck],
        Syn,
        None,
        "Anybody can send a SYN. IPVS calls half-closed connections opening for it.",
    ),
    (&[FromServer], CLOSING, Syn, None, "A server's SYN is stray."),
    (
        &[FromServer],
        &[FinWait, CloseWait, LastAck],
        SynAck,
        Some(SynRecv),
        "The server begins anew with a client that has forgotten a connection; IPVS does not tell this from a SYN.",
    ),
    (BOTH_CLIENTS, CLOSING, SynAck, None, "A late repetition opens nothing."),
    (&[FromServer], &[TimeWait, State::Close], SynAck, None, "A late repetition opens nothing."),
    (
        ALL_VIEWS,
        &[State::None, SynSent, SynRecv, Established, FinWait, TimeWait, CloseWait, LastAck],
        Event::Other,
        None,
        "The receiver drops it (RFC 9293 3.10.7.4), so the connection goes on. In IPVS anyone can end it with this.",
    ),
];

#[test]
fn as_ipvs_but_for_the_differences_listed() {
    for (view, table, direction, _) in VIEWS {
        for (state, _) in IPVS {
            for (event, flags, _) in EVENTS {
                let listed = DIFFERENCES.iter().filter(|(views, from, on, ..)| {
                    views.contains(&view) && from.contains(&state) && *on == event
                });
                let listed: Vec<_> = listed.collect();
                let place = format!("{view:?}, {state:?}, {event:?}");
                let (ours, theirs) = (next(table, state, direction, flags), ipvs(state, view, event));
                match listed[..] {
                    [] => assert_eq!(ours, theirs, "{place}: not listed"),
                    [(.., to, reason)] => {
                        assert_eq!(ours, to.unwrap_or(state), "{place}: {reason}");
                        assert_ne!(ours, theirs, "{place}: listed but no difference");
                    }
                    _ => panic!("{place}: listed twice"),
                }
            }
        }
    }
}
