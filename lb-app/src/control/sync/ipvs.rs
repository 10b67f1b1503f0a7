//! Directors of Linux's IPVS, with which connections are synchronized: a thread of the control plane with a socket in their
//! group. What is said and understood is [`peers::ipvs`](lb_core::peers::ipvs)'s, without a socket.

use super::{group::Group, look::Look};
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
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    net::IpAddr,
    sync::{Arc, Weak},
    thread,
    time::{self, Duration},
};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(5);
/// Rounds between two looks whether there is a socket, and the right one.
const JOIN_EVERY: u32 = 200;
/// Rounds between two updates of what is known.
const TELL_EVERY: u32 = 40;
/// Datagrams that are taken in one round, at most.
const PER_ROUND: usize = 1_024;
/// Senders that are told apart, at most.
const SENDERS: usize = 16;
/// How long after the last connection without room there is said to be none.
const FULL_FOR: Duration = Duration::from_secs(60);

/// The director's part among those of IPVS, before it begins.
pub(crate) struct Ipvs {
    settings: IpvsSync,
    backup: Option<Backup>,
    master: Option<Master>,
    told: Option<Arc<Told>>,
    /// Bytes of a datagram, at most.
    most: usize,
    known: Arc<Known>,
}

/// What is known of it, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Known {
    facts: Mutex<Facts>,
}

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

impl Known {
    /// What is known now.
    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }
}

/// What happens while it runs.
#[derive(Default)]
struct News {
    senders: BTreeSet<IpAddr>,
    no_room: u64,
    full: Option<time::Instant>,
    is_full: bool,
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
            most: usize::MAX,
            known: Arc::default(),
        })
    }

    /// What masters tell, for workers.
    pub(crate) fn told(&self) -> Option<Arc<Told>> {
        self.told.clone()
    }

    /// What is known.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// Begins.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(self, running: &Arc<Running>) -> io::Result<()> {
        let running = Arc::downgrade(running);
        thread::Builder::new().name("lb-ipvs-sync".to_owned()).spawn(move || self.run(&running)).map(drop)
    }

    fn run(mut self, running: &Weak<Running>) {
        let Some(mut config) = running.upgrade().map(|running| running.current().config) else { return };
        let (mut look, mut news) = (Look::default(), News::default());
        let mut socket: Result<Group, String> = Err(String::new());
        // Datagrams of a kernel with a larger MTU than most.
        let mut buffer = vec![0; usize::from(u16::MAX)];
        for round in 0u32.. {
            {
                // It would otherwise hold what the end waits for.
                let Some(running) = running.upgrade().filter(|it| !it.shutdown.is_requested()) else {
                    return;
                };
                let current = running.current().config;
                let is_reloaded = !Arc::ptr_eq(&config, &current);
                if is_reloaded {
                    config = current;
                    if self.change(&config.ipvs_sync, running.clock.now()) {
                        socket = Err(String::new());
                    }
                }
                if round.is_multiple_of(JOIN_EVERY) || is_reloaded {
                    socket = self.joined(&running, socket);
                }
                if let Ok(socket) = &socket {
                    self.hear(&running, socket, &mut buffer, &mut news);
                    self.tell(&running, socket, &mut look);
                }
                if round.is_multiple_of(TELL_EVERY) {
                    self.report(&running, &mut news);
                    *self.known.facts.lock() = Facts {
                        waits_for: socket.as_ref().err().cloned(),
                        backup: self.backup.as_ref().map(|backup| (*backup.counts(), backup.held().0)),
                        master: self
                            .master
                            .as_ref()
                            .map(|master| (*master.counts(), [master.len(), master.clients()])),
                        senders: news.senders.iter().copied().collect(),
                        look_ms: look.took_ms(),
                    };
                }
            }
            thread::sleep(ROUND);
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

    /// A socket, if the interface is there.
    fn joined(&mut self, running: &Running, socket: Result<Group, String>) -> Result<Group, String> {
        let before = match socket {
            Ok(group) if group.is_there() => return Ok(group),
            Ok(_) => String::new(),
            Err(why) => why,
        };
        let IpvsSync { interface, group, ttl, .. } = &self.settings;
        let name = interface.as_deref().unwrap_or_default();
        let joined = Group::join(name, *group, *ttl).map_err(|error| error.to_string());
        match &joined {
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
        joined
    }

    /// Takes what masters tell.
    fn hear(&mut self, running: &Running, socket: &Group, buffer: &mut [u8], news: &mut News) {
        for _ in 0..PER_ROUND {
            let (len, from) = match socket.receive(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let Some(backup) = &mut self.backup else { continue };
            let mut client = |told: &Template| {
                clients::learn_template(
                    &running.persistence,
                    &running.current().snapshot,
                    running.clock.now(),
                    told,
                )
            };
            if backup.receive(running.clock.now(), &buffer[..len], &mut client)
                && news.senders.len() < SENDERS
                && news.senders.insert(from.ip())
            {
                let text = format!("director {} of IPVS tells of its connections", from.ip());
                running.journal.tell(Happened::new(Kind::PeerHeard, text));
            }
        }
        if let Some(backup) = &mut self.backup {
            backup.poll(running.clock.now());
        }
    }

    /// Tells of connections here.
    fn tell(&mut self, running: &Running, socket: &Group, look: &mut Look) {
        let Some(master) = &mut self.master else { return };
        // What does not go is told again.
        let mut send = |datagram: &[u8]| drop(socket.send(datagram));
        master.poll(running.clock.now());
        look.at_all(running, master, &mut send);
    }

    /// Says what operators want to know.
    fn report(&self, running: &Running, news: &mut News) {
        let held = self.backup.as_ref().map_or(0, |backup| backup.counts().no_room);
        let told = self.master.as_ref().map_or(0, |master| {
            let counts = master.counts();
            counts.no_room + counts.clients_no_room
        });
        if told > 0 || held > news.no_room {
            news.full = Some(time::Instant::now());
        }
        news.no_room = held;
        let is_full = news.full.is_some_and(|full| full.elapsed() < FULL_FOR);
        if std::mem::replace(&mut news.is_full, is_full) != is_full {
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
