//! Directors of Linux's IPVS, with which connections are synchronized: a thread of the control plane with a socket in their
//! group. What is said and understood is [`peers::ipvs`](lb_core::peers::ipvs)'s, without a socket.

use super::{
    group::Group,
    look::Look,
    rounds::{self, KNOWN_EVERY, PER_ROUND, Room, Round, SOCKET_EVERY},
};
use crate::{config::IpvsSync, control::live::running::Running, journal::Happened};
use lb_core::{
    flow::key::Secret,
    peers::{
        ipvs::{
            backup::{self, Backup},
            master::{self, Master},
            template::Template,
        },
        told::Told,
    },
    time::Instant,
    worker::clients,
};
use lb_ctl::protocol::events::Kind;
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    net::IpAddr,
    sync::Arc,
    time,
};

/// Senders that are told apart, at most.
const SENDERS: usize = 16;

/// The director's part among those of IPVS.
pub(crate) struct Ipvs {
    settings: IpvsSync,
    backup: Option<Backup>,
    master: Option<Master>,
    /// What masters tell, for workers.
    pub(crate) told: Option<Arc<Told>>,
    /// What is known of it.
    pub(crate) known: Arc<Known>,
    /// Or why there is none.
    socket: Result<Group, String>,
    /// Bytes of a datagram, at most.
    most: usize,
    look: Look,
    senders: BTreeSet<IpAddr>,
    no_room: u64,
    room: Room,
}

/// What is known of it, for whoever asks.
pub(crate) type Known = rounds::Known<Facts>;

/// What is known at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Why there is no socket.
    pub(crate) waits_for: Option<String>,
    /// What masters have told, and how much of it is held.
    pub(crate) backup: Option<(backup::Counts, usize)>,
    /// What has been told, and of how many connections and clients.
    pub(crate) master: Option<(master::Counts, [usize; 2])>,
    /// Who has told something.
    pub(crate) senders: Vec<IpAddr>,
    /// Milliseconds that the last look at all connections took.
    pub(crate) look_ms: u64,
}

impl Ipvs {
    /// As configured; nothing without an interface.
    pub(crate) fn new(settings: &IpvsSync, secret: Secret, now: Instant) -> Option<Self> {
        settings.interface.as_ref()?;
        let (capacity, syncid) = (settings.entries as usize, settings.syncid as u8);
        let (told, backup) = settings
            .role
            .hears()
            .then(|| Told::new(capacity, secret, Vec::new()))
            .map(|(told, writer)| (told, Backup::new(writer, syncid)))
            .unzip();
        let master =
            settings.role.tells().then(|| Master::new((syncid, usize::MAX), capacity, settings.rate, now));
        Some(Ipvs {
            settings: settings.clone(),
            backup,
            master,
            told,
            known: Arc::default(),
            socket: Err(String::new()),
            most: usize::MAX,
            look: Look::default(),
            senders: BTreeSet::new(),
            no_room: 0,
            room: Room::default(),
        })
    }

    /// Begins.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(mut self, running: &Arc<Running>) -> io::Result<()> {
        // Datagrams of a kernel with a larger MTU than most.
        let mut buffer = vec![0; usize::from(u16::MAX)];
        rounds::start("lb-ipvs-sync", running, move |running, round| self.round(running, round, &mut buffer))
    }

    fn round(&mut self, running: &Running, round: &Round, buffer: &mut [u8]) {
        if let Some(config) = &round.reloaded
            && self.change(&config.ipvs_sync, running.clock.now())
        {
            self.socket = Err(String::new());
        }
        if round.is_every(SOCKET_EVERY) || round.reloaded.is_some() {
            self.join(running);
        }
        self.hear(running, buffer);
        self.tell(running);
        if round.is_every(KNOWN_EVERY) {
            self.report(running);
            self.known.set(self.facts());
        }
    }

    fn facts(&self) -> Facts {
        let of_master = |master: &Master| (*master.counts(), [master.len(), master.clients()]);
        Facts {
            waits_for: self.socket.as_ref().err().cloned(),
            backup: self.backup.as_ref().map(|backup| (*backup.counts(), backup.held().0)),
            master: self.master.as_ref().map(of_master),
            senders: self.senders.iter().copied().collect(),
            look_ms: self.look.took_ms(),
        }
    }

    /// The file says something else. Whether that takes another socket. What takes a restart is as it was.
    fn change(&mut self, to: &IpvsSync, now: Instant) -> bool {
        let place = |it: &IpvsSync| (it.interface.clone(), it.group, it.ttl);
        let moves = place(&self.settings) != place(to);
        let syncid = to.syncid as u8;
        if let Some(backup) = &mut self.backup {
            backup.set_syncid(syncid);
        }
        match (&mut self.master, to.role.tells()) {
            (Some(master), true) => master.change(syncid, to.rate),
            (Some(_), false) => self.master = None,
            (None, true) => {
                let most = if moves { usize::MAX } else { self.most };
                self.master = Some(Master::new((syncid, most), to.entries as usize, to.rate, now));
            }
            (None, false) => {}
        }
        self.settings = to.clone();
        moves
    }

    /// Gets a socket, if the interface is there and it has none, or one of another that was called the same.
    fn join(&mut self, running: &Running) {
        let before = match &self.socket {
            Ok(group) if group.is_there() => return,
            Ok(_) => String::new(),
            Err(why) => why.clone(),
        };
        let IpvsSync { interface, group, ttl, .. } = &self.settings;
        let name = interface.as_deref().unwrap_or_default();
        self.socket = Group::join(name, *group, *ttl).map_err(|error| error.to_string());
        match &self.socket {
            Ok(group) => {
                self.most = group.most();
                if let Some(master) = &mut self.master {
                    master.set_most(self.most);
                }
            }
            Err(why) if *why != before => {
                let text =
                    format!("ipvs_sync: cannot join {group} on {name}; it is tried again every second");
                running.journal.tell(Happened::new(Kind::SyncUnavailable, text).because(why.as_str()));
            }
            Err(_) => {}
        }
    }

    /// Takes what masters tell.
    fn hear(&mut self, running: &Running, buffer: &mut [u8]) {
        let Ipvs { socket: Ok(socket), backup, senders, .. } = self else { return };
        for _ in 0..PER_ROUND {
            let (len, from) = match socket.receive(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let Some(backup) = backup else { continue };
            let mut client = |told: &Template<'_>| {
                clients::learn_template(
                    &running.persistence,
                    &running.current().snapshot,
                    running.clock.now(),
                    told,
                )
            };
            if backup.receive(running.clock.now(), &buffer[..len], &mut client)
                && senders.len() < SENDERS
                && senders.insert(from.ip())
            {
                let text = format!("director {} of IPVS tells of its connections", from.ip());
                running.journal.tell(Happened::new(Kind::PeerHeard, text));
            }
        }
        if let Some(backup) = backup {
            backup.poll(running.clock.now());
        }
    }

    /// Tells of connections here.
    fn tell(&mut self, running: &Running) {
        let Ipvs { socket: Ok(socket), master: Some(master), look, .. } = self else { return };
        // What does not go is told again.
        let mut send = |datagram: &[u8]| drop(socket.send(datagram));
        master.poll(running.clock.now());
        look.at_all(running, master, &mut send);
    }

    /// Says what operators want to know.
    fn report(&mut self, running: &Running) {
        let held = self.backup.as_ref().map_or(0, |backup| backup.counts().no_room);
        let told = self.master.as_ref().map_or(0, |master| {
            let counts = master.counts();
            counts.no_room + counts.clients_no_room
        });
        let is_refused = told > 0 || held > self.no_room;
        self.no_room = held;
        if let Some(is_full) = self.room.note(is_refused, time::Instant::now()) {
            let (kind, text) = match is_full {
                true => (
                    Kind::SyncFull,
                    "not all connections and clients are synchronized with IPVS: there is no room",
                ),
                false => (Kind::SyncRoom, "there is room for connections that are synchronized with IPVS"),
            };
            let why = format!("[ipvs_sync] entries = {}", self.settings.entries);
            running.journal.tell(Happened::new(kind, text.to_owned()).because(why));
        }
    }
}
