//! What is known of one neighbour, and what to do about it next.
//!
//! ```text
//!            asked 3 times in vain            1 s
//!   Asking ------------------------> Failed -------> Asking
//!     | answer                         | answer
//!     v                                v
//!   Known --- 30 s without news ---> Known, asking by unicast --- 3 times in vain ---> Asking
//! ```
//!
//! The address of a known neighbour stays in use while it is asked again, so that a refresh never delays a packet.

use crate::{
    packet::PortId,
    service::{plan::InterfacePlan, routing::NextHop},
    time::{Duration, Instant},
    wire::ethernet::{self, Mac, Tags},
};

/// How long an answer counts before it is asked for again.
pub const FRESH_FOR: Duration = Duration::from_secs(30);
/// Time between two questions about one neighbour: RFC 1122 2.3.2.1 allows one a second.
pub const ASK_EVERY: Duration = Duration::from_secs(1);
/// Questions in vain after which a neighbour counts as absent.
pub const MAX_QUESTIONS: u8 = 3;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It has been asked, or is about to be; nothing is known.
    Asking,
    /// Its Ethernet address is known.
    Known,
    /// It did not answer.
    Failed,
}

/// What to send to learn about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A broadcast ARP request.
    Broadcast,
    /// An ARP request to the address it had, RFC 1122 2.3.2.1 (2).
    Unicast,
    /// None; packets that wait for it will not be sent.
    GiveUp,
}

/// One neighbour.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Neighbour {
    /// Its Ethernet address, once known.
    pub mac: Mac,
    /// Its address and that of our port, in the order of a frame to it.
    pub stations: [u8; ethernet::ADDRESSES_LEN],
    /// The VLAN tags of frames to it: what is between both addresses and the EtherType.
    pub tags: Tags,
    /// The port that frames to it leave by.
    pub port: PortId,
    /// Largest IPv4 packet that its interface carries, in bytes.
    pub mtu: u16,
    /// What is known.
    pub knowledge: Knowledge,
    /// Questions since the last answer.
    pub questions: u8,
    /// Where it is.
    pub hop: NextHop,
    /// The last answer, or the beginning.
    pub heard: Instant,
    /// The last question.
    pub asked: Option<Instant>,
    /// Connections that send to it, and one for each time the configuration names it. 0: may be removed.
    pub users: u32,
}

impl Neighbour {
    /// A neighbour that nothing is known of.
    #[must_use]
    pub fn new(hop: NextHop, interface: &InterfacePlan, now: Instant) -> Self {
        Neighbour {
            mac: Mac::default(),
            stations: ethernet::stations(Mac::default(), interface.mac),
            tags: interface.tags,
            port: interface.port,
            mtu: interface.mtu,
            knowledge: Knowledge::Asking,
            questions: 0,
            hop,
            heard: now,
            asked: None,
            users: 0,
        }
    }

    /// Whether a frame to it can be sent now, and is untagged.
    #[inline(always)]
    #[must_use]
    pub fn is_known_untagged(&self) -> bool {
        self.knowledge == Knowledge::Known && self.tags.is_empty()
    }

    /// Whether it is news that the neighbour has this address: it was unknown, or had another.
    #[must_use]
    pub fn is_news(&self, mac: Mac) -> bool {
        self.knowledge != Knowledge::Known || self.mac != mac
    }

    /// Takes note of an answer. Returns whether that is news: it was unknown, or had another address.
    pub fn answer(&mut self, mac: Mac, now: Instant) -> bool {
        let news = self.is_news(mac);
        self.mac = mac;
        self.stations[..ethernet::SOURCE].copy_from_slice(&mac.0);
        self.knowledge = Knowledge::Known;
        self.questions = 0;
        self.heard = now;
        news
    }

    /// What to send now, if anything. The caller sends it; it counts as sent.
    pub fn poll(&mut self, now: Instant) -> Option<Question> {
        if self.asked.is_some_and(|asked| now.since(asked) < ASK_EVERY) {
            return None;
        }
        match self.knowledge {
            Knowledge::Known if now.since(self.heard) < FRESH_FOR => None,
            Knowledge::Known if self.questions < MAX_QUESTIONS => Some(self.ask(Question::Unicast, now)),
            Knowledge::Known => {
                self.knowledge = Knowledge::Asking;
                self.questions = 0;
                Some(self.ask(Question::Broadcast, now))
            }
            Knowledge::Asking if self.questions < MAX_QUESTIONS => Some(self.ask(Question::Broadcast, now)),
            Knowledge::Asking => Some(self.give_up(now)),
            Knowledge::Failed => None,
        }
    }

    /// What waits for it is not sent. It counts as absent until somebody wants it again.
    pub fn give_up(&mut self, now: Instant) -> Question {
        self.knowledge = Knowledge::Failed;
        self.asked = Some(now);
        Question::GiveUp
    }

    /// Somebody wants to send to it: a failed neighbour is given another chance.
    pub fn wanted(&mut self, now: Instant) {
        if self.knowledge == Knowledge::Failed && self.asked.is_none_or(|asked| now.since(asked) >= ASK_EVERY)
        {
            self.knowledge = Knowledge::Asking;
            self.questions = 0;
            self.asked = None;
        }
    }

    fn ask(&mut self, question: Question, now: Instant) -> Question {
        self.questions += 1;
        self.asked = Some(now);
        question
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InterfaceId;
    use std::net::Ipv4Addr;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn neighbour() -> Neighbour {
        let hop = NextHop { interface: InterfaceId(0), address: Ipv4Addr::new(192, 0, 2, 9).into() };
        Neighbour::new(hop, &InterfacePlan::new("wan", PortId(0)), Instant::ZERO)
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn it_is_asked_once_a_second_and_given_up() {
        let mut neighbour = neighbour();
        let asked: Vec<_> = (0..60)
            .filter_map(|step| neighbour.poll(at(step * 100)).map(|what| (step * 100, what)))
            .collect();
        use Question::{Broadcast, GiveUp};
        assert_eq!(asked, [(0, Broadcast), (1000, Broadcast), (2000, Broadcast), (3000, GiveUp)]);
        neighbour.wanted(at(3_500));
        assert_eq!(neighbour.knowledge, Knowledge::Failed, "not more than once a second");
        neighbour.wanted(at(4_000));
        assert_eq!(neighbour.poll(at(4_000)), Some(Broadcast));
    }

    #[test]
    fn a_known_address_is_refreshed_by_unicast_and_stays_in_use() {
        let mut neighbour = neighbour();
        neighbour.poll(at(0));
        assert!(neighbour.answer(MAC, at(10)));
        assert_eq!(neighbour.poll(at(29_999)), None);
        assert_eq!(neighbour.poll(at(30_010)), Some(Question::Unicast));
        assert_eq!(neighbour.knowledge, Knowledge::Known);
        assert!(!neighbour.answer(MAC, at(30_020)), "no news");
        assert_eq!(neighbour.poll(at(60_000)), None);
        for second in 0..3 {
            assert_eq!(neighbour.poll(at(61_000 + second * 1_000)), Some(Question::Unicast));
        }
        assert_eq!(neighbour.poll(at(64_000)), Some(Question::Broadcast));
        assert_eq!(neighbour.knowledge, Knowledge::Asking);
        assert!(neighbour.answer(Mac([2, 0, 0, 0, 0, 8]), at(64_010)));
    }
}
