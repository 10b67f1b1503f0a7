//! Seats at a service that strangers may use: whoever comes always gets one, and whoever came first makes room. A peer with many makes room first, for itself and for others.

use parking_lot::Mutex;
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};
use tokio::sync::Notify;

/// Seats, so many in all and so many for one peer.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    per_peer: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// In the order in which they came.
    clients: Vec<Client>,
    last: u64,
}

#[derive(Debug)]
struct Client {
    id: u64,
    peer: IpAddr,
    leave: Arc<Notify>,
}

/// Who came when, at whatever seats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

/// A seat. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    leave: Arc<Notify>,
}

impl Seats {
    pub(super) fn new(most: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Seats { most, per_peer, taken: Mutex::default() })
    }

    /// Whether somebody would have to make room.
    pub(super) fn are_taken(&self) -> bool {
        self.taken.lock().clients.len() >= self.most
    }

    /// Somebody comes, and may wait for a seat before taking one.
    pub(super) fn come(&self) -> Ticket {
        let mut taken = self.taken.lock();
        taken.last += 1;
        Ticket(taken.last)
    }

    /// A seat for a peer. If there is none, whoever came first makes room, of the peer with most: that may be the one who
    /// takes it, if all others came while it waited.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr, Ticket(id): Ticket) -> Seat {
        let (peer, leave) = (network(peer), Arc::new(Notify::new()));
        let mut taken = self.taken.lock();
        let place = taken.clients.partition_point(|client| client.id < id);
        taken.clients.insert(place, Client { id, peer, leave: leave.clone() });
        let clients = &taken.clients;
        let of = |peer: IpAddr| clients.iter().filter(|client| client.peer == peer).count();
        let leaves = if of(peer) > self.per_peer {
            clients.iter().position(|client| client.peer == peer)
        } else if clients.len() > self.most {
            let most = clients.iter().map(|client| of(client.peer)).max();
            clients.iter().position(|client| Some(of(client.peer)) == most)
        } else {
            None
        };
        if let Some(at) = leaves {
            taken.clients.remove(at).leave.notify_one();
        }
        Seat { seats: self.clone(), id, leave }
    }
}

impl Seat {
    /// Waits until it has to make room.
    pub(super) async fn leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.lock().clients.retain(|client| client.id != self.id);
    }
}

/// Who has one address of IPv6 has many.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_comes_gets_a_seat() {
        let seats = Seats::new(3, 2);
        let [one, two]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|peer| peer.parse().unwrap());
        let left = async |seat: &Seat| {
            tokio::time::timeout(std::time::Duration::from_millis(1), seat.leave()).await.is_ok()
        };
        let take = |peer| seats.take(peer, seats.come());
        let (first, second) = (take(one), take(one));
        let third = take(one);
        assert!(left(&first).await && !left(&second).await, "its own oldest");
        let other = take(two);
        assert!(seats.are_taken());
        let another = take("192.0.2.3".parse().unwrap());
        assert!(left(&second).await && !left(&other).await, "of the peer with most");
        let last = take("192.0.2.4".parse().unwrap());
        assert!(left(&third).await, "the oldest, if all have one");
        drop((first, other));
        assert!(!seats.are_taken());
        assert!(!left(&another).await && !left(&last).await);
    }

    #[tokio::test]
    async fn who_came_earlier_does_not_take_the_seat_of_who_came_later() {
        let seats = Seats::new(1, 1);
        let peer = IpAddr::from([192, 0, 2, 1]);
        let (early, late) = (seats.come(), seats.come());
        let late = seats.take(peer, late);
        let early = seats.take(peer, early);
        let left = async |seat: &Seat| {
            tokio::time::timeout(std::time::Duration::from_millis(1), seat.leave()).await.is_ok()
        };
        assert!(left(&early).await && !left(&late).await, "however long each has waited");
    }

    #[test]
    fn networks_of_ipv6_are_one_peer() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
