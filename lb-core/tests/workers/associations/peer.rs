//! A host that speaks SCTP: as much of it as an association takes from its beginning to its end.

use crate::common::{
    frame::Ip,
    frame6::Ip6,
    sctp::{
        ABORT, COOKIE_ACK, COOKIE_ECHO, DATA, INIT, INIT_ACK, SACK, SHUTDOWN, SHUTDOWN_ACK,
        SHUTDOWN_COMPLETE, check, chunk, packet,
    },
};
use etherparse::IpNumber;
use std::net::{IpAddr, SocketAddr};

/// How long a peer waits for an answer before it repeats itself, in milliseconds.
const REPEAT: u64 = 1_000;
/// What each side says.
pub(crate) const MESSAGES: u32 = 7;
/// Messages that are under way at once.
const WINDOW: usize = 3;
/// A flag of what is said by who has no association: bit T.
const REFLECTED: u8 = 1;

/// How far an association is, at one side. RFC 9260 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownSent,
    ShutdownAckSent,
}

/// An association at one side. Messages have the numbers 1, 2, 3 and so on, and are their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Association {
    pub(crate) phase: Phase,
    pub(crate) other: SocketAddr,
    pub(crate) own_tag: u32,
    pub(crate) others_tag: u32,
    pub(crate) cookie: Vec<u8>,
    /// The last message that the other side has acknowledged, and the last that was heard.
    pub(crate) acknowledged: u32,
    pub(crate) heard: u32,
    /// When something is repeated.
    pub(crate) due: Option<u64>,
}

/// A host with at most one association.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) own: SocketAddr,
    pub(crate) association: Option<Association>,
    /// Whether it is the one that ends the association, once all is said and heard.
    pub(crate) ends: bool,
    /// Messages that it has to say, at this time.
    pub(crate) says: u32,
    /// Associations that have come to their end with all said and heard.
    pub(crate) completed: u32,
    pub(crate) tags: u32,
    pub(crate) out: Vec<Vec<u8>>,
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

/// The chunks of a packet: type, flags, value.
fn chunks(packet: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let (mut chunks, mut at) = (Vec::new(), 12);
    while let Some(&[kind, flags, a, b]) = packet.get(at..).and_then(|rest| rest.first_chunk()) {
        let len = usize::from(u16::from_be_bytes([a, b]));
        chunks.push((kind, flags, &packet[at + 4..at + len]));
        at += len.next_multiple_of(4);
    }
    chunks
}

impl Peer {
    pub(crate) fn new(own: SocketAddr, tags: u32) -> Self {
        Peer { own, association: None, ends: false, says: 0, completed: 0, tags, out: Vec::new() }
    }

    fn tag(&mut self) -> u32 {
        self.tags += 1;
        self.tags
    }

    fn send(&mut self, to: SocketAddr, tag: u32, chunks: &[Vec<u8>]) {
        let sctp = packet((self.own.port(), to.port()), tag, chunks);
        self.out.push(match (self.own.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Ip::new(IpNumber::SCTP, from, to, sctp).bytes(),
            (IpAddr::V6(from), IpAddr::V6(to)) => Ip6::new(IpNumber::SCTP, from, to, sctp).bytes(),
            _ => panic!("of one family"),
        });
    }

    pub(crate) fn connect(&mut self, to: SocketAddr, now: u64) {
        let own_tag = self.tag();
        self.association = Some(Association {
            phase: Phase::CookieWait,
            other: to,
            own_tag,
            others_tag: 0,
            cookie: Vec::new(),
            acknowledged: 0,
            heard: 0,
            due: Some(now),
        });
    }

    /// Says what is due: for the first time, or again.
    pub(crate) fn speak(&mut self, now: u64) {
        let Some(it) = self.association.clone().filter(|it| it.due.is_some_and(|due| due <= now)) else {
            return;
        };
        let said = match it.phase {
            Phase::CookieWait => {
                let value = [&it.own_tag.to_be_bytes()[..], &[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]].concat();
                vec![vec![chunk(INIT, 0, &value)]]
            }
            Phase::CookieEchoed => vec![vec![chunk(COOKIE_ECHO, 0, &it.cookie)]],
            Phase::ShutdownSent => vec![vec![chunk(SHUTDOWN, 0, &it.heard.to_be_bytes())]],
            Phase::ShutdownAckSent => vec![vec![chunk(SHUTDOWN_ACK, 0, &[])]],
            Phase::Established => {
                let next = it.acknowledged + 1..=self.says;
                next.take(WINDOW).map(|number| vec![data(number)]).collect()
            }
        };
        let is_waiting = !said.is_empty();
        for chunks in said {
            self.send(it.other, it.others_tag, &chunks);
        }
        if let Some(it) = &mut self.association {
            it.due = is_waiting.then_some(now + REPEAT);
        }
    }

    /// Ends the association at once. Nobody is told of what has not begun.
    pub(crate) fn abort(&mut self) {
        if let Some(it) = self.association.take().filter(|it| it.phase != Phase::CookieWait) {
            self.send(it.other, it.others_tag, &[chunk(ABORT, 0, &[])]);
        }
    }

    /// A packet has come, from who seems to be `from`.
    pub(crate) fn hear(&mut self, now: u64, from: SocketAddr, packet: &[u8]) {
        check(packet).unwrap();
        let tag = long(packet, 4);
        let chunks = chunks(packet);
        let (first, flags, value) = chunks[0];
        if first == INIT {
            assert_eq!(tag, 0);
            // Whoever asks, and whatever there is: what is answered is in the cookie.
            let own = self.tag().to_be_bytes();
            let cookie = [&[0, 7, 0, 16], &value[..4], &own, &from.port().to_be_bytes(), &[0, 0]].concat();
            let value = [&own[..], &[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1], &cookie].concat();
            return self.send(from, long(chunks[0].2, 0), &[chunk(INIT_ACK, 0, &value)]);
        }
        if first == COOKIE_ECHO && self.association.is_none() {
            assert_eq!(long(value, 4), tag, "the tag in the cookie");
            self.association = Some(Association {
                phase: Phase::Established,
                other: from,
                own_tag: tag,
                others_tag: long(value, 0),
                cookie: Vec::new(),
                acknowledged: 0,
                heard: 0,
                due: Some(now),
            });
        }
        let reflected = matches!(first, ABORT | SHUTDOWN_COMPLETE) && flags & REFLECTED != 0;
        let expected = |it: &Association| if reflected { it.others_tag } else { it.own_tag };
        let is_own = self.association.as_ref().is_some_and(|it| it.other == from && expected(it) == tag);
        if !is_own {
            if self.association.is_none() {
                self.out_of_the_blue(from, first, tag);
            }
            return;
        }
        for (kind, _, value) in chunks {
            self.hear_chunk(now, from, kind, value);
        }
    }

    /// RFC 9260 8.4.
    fn out_of_the_blue(&mut self, from: SocketAddr, first: u8, tag: u32) {
        match first {
            ABORT | SHUTDOWN_COMPLETE | COOKIE_ACK => {}
            SHUTDOWN_ACK => self.send(from, tag, &[chunk(SHUTDOWN_COMPLETE, REFLECTED, &[])]),
            _ => self.send(from, tag, &[chunk(ABORT, REFLECTED, &[])]),
        }
    }

    fn hear_chunk(&mut self, now: u64, from: SocketAddr, kind: u8, value: &[u8]) {
        let Some(it) = &mut self.association else { return };
        match (kind, it.phase) {
            (INIT_ACK, Phase::CookieWait) => {
                it.others_tag = long(value, 0);
                // Behind what every one has, and the header of the parameter.
                it.cookie = value[20..].to_vec();
                (it.phase, it.due) = (Phase::CookieEchoed, Some(now));
            }
            (COOKIE_ECHO, _) => {
                let tag = it.others_tag;
                self.send(from, tag, &[chunk(COOKIE_ACK, 0, &[])]);
            }
            (COOKIE_ACK, Phase::CookieEchoed) => (it.phase, it.due) = (Phase::Established, Some(now)),
            (DATA, phase) => {
                if long(value, 0) == it.heard + 1 && phase == Phase::Established {
                    it.heard += 1;
                    assert_eq!(value[12..], [it.heard as u8; 9], "the message");
                }
                let sack = [&it.heard.to_be_bytes()[..], &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
                let tag = it.others_tag;
                self.send(from, tag, &[chunk(SACK, 0, &sack)]);
            }
            (SACK, Phase::Established) if long(value, 0) > it.acknowledged => {
                it.acknowledged = long(value, 0);
                it.due = Some(now);
            }
            (SHUTDOWN, Phase::Established) => {
                it.acknowledged = it.acknowledged.max(long(value, 0));
                assert_eq!((it.acknowledged, it.heard), (MESSAGES, MESSAGES), "all is said");
                (it.phase, it.due) = (Phase::ShutdownAckSent, Some(now));
            }
            (SHUTDOWN_ACK, Phase::ShutdownSent) => {
                let tag = it.others_tag;
                self.send(from, tag, &[chunk(SHUTDOWN_COMPLETE, 0, &[])]);
                (self.association, self.completed) = (None, self.completed + 1);
            }
            (SHUTDOWN_COMPLETE, Phase::ShutdownAckSent) => {
                (self.association, self.completed) = (None, self.completed + 1);
            }
            // What comes late to who has ended is answered like that. All was said and heard before.
            (ABORT, phase) => {
                let is_over = matches!(phase, Phase::ShutdownSent | Phase::ShutdownAckSent);
                (self.association, self.completed) = (None, self.completed + u32::from(is_over));
            }
            _ => {}
        }
        let Some(it) = &mut self.association else { return };
        let is_done = it.acknowledged == MESSAGES && it.heard == MESSAGES;
        if self.ends && is_done && it.phase == Phase::Established {
            (it.phase, it.due) = (Phase::ShutdownSent, Some(now));
        }
    }
}

fn data(number: u32) -> Vec<u8> {
    let value = [&number.to_be_bytes()[..], &[0; 8], &[number as u8; 9]].concat();
    chunk(DATA, 3, &value)
}
