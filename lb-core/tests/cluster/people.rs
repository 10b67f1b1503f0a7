//! Clients and servers: as much of TCP as it takes to notice that a connection is broken.

use std::net::SocketAddrV4;

/// Milliseconds without an answer after which a client gives up.
pub(crate) const PATIENCE: u64 = 40_000;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Opening,
    Open,
    /// Its client has ended it.
    Closed,
    Broken,
}

/// A connection as its client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) client: SocketAddrV4,
    pub(crate) life: Life,
    /// The server that accepted it.
    pub(crate) server: Option<usize>,
    /// When its client says something next, or says it again.
    pub(crate) next: u64,
    /// Since when it waits for an answer.
    pub(crate) waits_since: Option<u64>,
    pub(crate) tries: u32,
    /// How long it says nothing between two answers.
    pub(crate) pause: u64,
    /// The director that has it.
    pub(crate) director: Option<usize>,
    /// It goes to another director than before, and has not been answered there.
    pub(crate) has_moved: bool,
    /// From then on it is promised that it survives.
    pub(crate) safe_at: u64,
    /// It moved before that, or its server went.
    pub(crate) is_unpromised: bool,
    /// The longest wait for an answer so far.
    pub(crate) longest_wait: u64,
    /// Why it is broken.
    pub(crate) why: &'static str,
}

impl Talk {
    pub(crate) fn new(client: SocketAddrV4, at: u64, pause: u64) -> Self {
        Talk {
            client,
            life: Life::Opening,
            server: None,
            next: at,
            waits_since: None,
            tries: 0,
            pause,
            director: None,
            has_moved: false,
            safe_at: u64::MAX,
            is_unpromised: false,
            longest_wait: 0,
            why: "",
        }
    }

    pub(crate) fn lives(&self) -> bool {
        matches!(self.life, Life::Opening | Life::Open)
    }

    /// It says something, and will say it again if there is no answer.
    pub(crate) fn says(&mut self, now: u64) {
        self.waits_since.get_or_insert(now);
        self.next = now + (300 << self.tries.min(4));
        self.tries += 1;
    }

    /// The answer is there.
    pub(crate) fn hears(&mut self, now: u64) {
        let waited = self.waits_since.take().map_or(0, |since| now - since);
        self.longest_wait = self.longest_wait.max(waited);
        (self.tries, self.next) = (0, now + self.pause);
        self.has_moved = false;
    }

    pub(crate) fn breaks(&mut self, why: &'static str) {
        (self.life, self.why) = (Life::Broken, why);
    }
}
