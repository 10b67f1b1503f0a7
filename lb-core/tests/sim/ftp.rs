//! FTP over links that lose, double and delay: clients and servers send one another numbered lines while addresses and ports
//! in them are replaced by longer and shorter ones, so the numbers of what is under way move again and again. No line may
//! come spoilt, and each data connection has to come to the server of its control connection.

use crate::{
    network::{Faults, Random},
    setup::Setup,
    talk::{Talk, take},
    world::World,
};
use lb_core::service::plan::{Method, ModuleKind, Spread};
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, State},
    time::Duration,
};
use std::{fmt::Write, net::IpAddr};

/// As in `exchange_reminded`.
const REMINDED: Duration = Duration::from_secs(1);

/// Who connects for data, and how that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pasv,
    Epsv,
    Port,
    Eprt,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It may ask for the next transfer.
    Ready,
    /// It has asked.
    Asked,
    /// It reads.
    Reading,
    /// It has read all, and waits for the server to say so.
    Read,
    /// It has said that this is all.
    Leaving,
    /// The connection is closed.
    Over,
}

/// A server's end of a data connection.
struct Data {
    handle: SocketHandle,
    content: Vec<u8>,
    has_sent: bool,
}

/// A control connection with what follows from it.
struct Session {
    talk: Talk,
    server: usize,
    control: SocketHandle,
    random: Random,
    /// What each has to say, and what each has heard and not understood yet.
    client_says: Vec<u8>,
    client_hears: Vec<u8>,
    server_says: Vec<u8>,
    server_hears: Vec<u8>,
    /// Lines of no meaning that the client has sent, the server has heard and answered, and the client has heard of.
    noops: [u32; 3],
    /// Lines of no meaning that the server has sent, and the client has heard.
    notes: [u32; 2],
    phase: Phase,
    /// Transfers that the client has asked for, and that the server has been asked for.
    asked: [u32; 2],
    /// When it asked for the last.
    asked_at: u64,
    client_data: Option<SocketHandle>,
    server_data: Option<Data>,
    read: Vec<u8>,
    /// Transfers that came to their end, and connections for data that did not come about.
    done: u32,
    failed: u32,
}

/// What is transferred.
fn content(server: usize, number: u32) -> Vec<u8> {
    let mut content = format!("server {server} transfer {number}: ").into_bytes();
    content.resize(30 + (number * 977 % 4_000) as usize, number as u8);
    content
}

impl Session {
    /// A client's session, with the server that it gets.
    fn open(world: &mut World, client: usize, seed: u64) -> Self {
        let talk = world.connect(client);
        talk.established(world);
        let server = talk.server(world).expect("a server");
        let from = world.seen_as(talk.ends.source);
        let control = world.servers[server].accepted(from).expect("accepted");
        let mut random = Random::new(seed << 8 | client as u64);
        for socket in [world.clients[client].tcp(talk.handle), world.servers[server].tcp(control)] {
            socket.set_keep_alive(Some(REMINDED));
            socket.set_nagle_enabled(random.below(2) == 0);
        }
        Session {
            talk,
            server,
            control,
            random,
            client_says: Vec::new(),
            client_hears: Vec::new(),
            server_says: b"220 hi\r\n".to_vec(),
            server_hears: Vec::new(),
            noops: [0; 3],
            notes: [0; 2],
            phase: Phase::Ready,
            asked: [0; 2],
            asked_at: 0,
            client_data: None,
            server_data: None,
            read: Vec::new(),
            done: 0,
            failed: 0,
        }
    }

    /// Both ends do what they can at this moment. The client leaves after so many transfers.
    fn turn(&mut self, world: &mut World, transfers: u32) {
        let client = self.talk.client;
        self.read_data(world);
        self.send_data(world);
        self.ask(world, transfers);
        let socket = world.clients[client].tcp(self.talk.handle);
        self.client_hears.extend(take(socket));
        say(socket, &mut self.client_says, &mut self.random);
        let socket = world.servers[self.server].tcp(self.control);
        self.server_hears.extend(take(socket));
        say(socket, &mut self.server_says, &mut self.random);
        while let Some(line) = line(&mut self.client_hears) {
            self.client_hears_line(world, &line);
        }
        while let Some(line) = line(&mut self.server_hears) {
            self.server_hears_line(world, &line);
        }
        self.close(world);
    }

    fn noop(&mut self) {
        for _ in 0..self.random.below(3) {
            self.noops[0] += 1;
            let line = padded(&format!("NOOP {}", self.noops[0]), &mut self.random);
            self.client_says.extend(line);
        }
    }

    fn note(&mut self) {
        for _ in 0..self.random.below(3) {
            self.notes[0] += 1;
            let line = padded(&format!("150 note {}", self.notes[0]), &mut self.random);
            self.server_says.extend(line);
        }
    }

    /// The client asks for the next transfer, or leaves.
    fn ask(&mut self, world: &mut World, transfers: u32) {
        if self.phase != Phase::Ready {
            return;
        }
        if self.done == transfers {
            self.client_says.extend(b"QUIT\r\n");
            self.phase = Phase::Leaving;
            return;
        }
        self.noop();
        self.asked[0] += 1;
        self.asked_at = world.now;
        self.phase = Phase::Asked;
        let modes: &[Mode] = match world.setup.is_ipv6 {
            false => &[Mode::Pasv, Mode::Epsv, Mode::Port, Mode::Eprt],
            true => &[Mode::Epsv, Mode::Eprt],
        };
        let mode = modes[self.random.below(modes.len() as u64) as usize];
        let address = world.setup.client_address(self.talk.client);
        let mut listen = || {
            let port = world.a_port();
            self.client_data = Some(world.clients[self.talk.client].listen(port));
            port
        };
        let command = match mode {
            Mode::Pasv => "PASV".to_owned(),
            Mode::Epsv => "epsv".to_owned(),
            Mode::Port => format!("PORT {}", numbers(address, listen())),
            Mode::Eprt => {
                let family = if address.is_ipv6() { 2 } else { 1 };
                format!("EPRT |{family}|{address}|{}|", listen())
            }
        };
        self.client_says.extend(format!("{command}\r\n").into_bytes());
        self.noop();
    }

    fn client_hears_line(&mut self, world: &mut World, line: &str) {
        let (word, rest) = line.split_at(4.min(line.len()));
        match (word, rest) {
            ("220 ", "hi") | ("221 ", "bye") => {}
            ("200 ", rest) if rest.starts_with("noop ") => {
                self.noops[2] += 1;
                assert_eq!(unpadded(rest), format!("noop {}", self.noops[2]), "{line}");
            }
            ("150 ", rest) => {
                self.notes[1] += 1;
                assert_eq!(unpadded(rest), format!("note {}", self.notes[1]), "{line}");
            }
            ("200 ", "I connect") => self.phase = Phase::Reading,
            ("227 ", rest) => {
                let (address, port) =
                    endpoint(rest.strip_prefix("here (").unwrap().strip_suffix(").").unwrap());
                assert_eq!(address, world.setup.vip(), "{line}");
                self.dial(world, port);
            }
            ("229 ", rest) => {
                let port = rest.strip_prefix("here (|||").unwrap().strip_suffix("|)").unwrap();
                self.dial(world, port.parse().unwrap());
            }
            ("226 ", "done") => {
                assert_eq!(self.phase, Phase::Read, "it said so before it was");
                (self.phase, self.done) = (Phase::Ready, self.done + 1);
            }
            ("425 ", "cannot connect") => {
                let data = self.client_data.take().expect("it waits");
                world.clients[self.talk.client].tcp(data).abort();
                (self.phase, self.failed) = (Phase::Ready, self.failed + 1);
            }
            _ => panic!("the client hears {line:?}"),
        }
    }

    /// The client connects for data.
    fn dial(&mut self, world: &mut World, port: u16) {
        let (to, from) = ((world.setup.vip(), port), world.a_port());
        self.client_data = Some(world.clients[self.talk.client].connect(to, from));
        self.phase = Phase::Reading;
    }

    /// The client reads what has come, and checks it once the server has closed.
    fn read_data(&mut self, world: &mut World) {
        let (Phase::Reading, Some(data)) = (self.phase, self.client_data) else { return };
        let socket = world.clients[self.talk.client].tcp(data);
        socket.set_keep_alive(Some(REMINDED));
        self.read.extend(take(socket));
        let is_over = socket.state() == State::Closed;
        assert!(
            !is_over,
            "the client's connection for data is over, {} ms after it was asked for",
            world.now - self.asked_at
        );
        if socket.state() == State::CloseWait && socket.recv_queue() == 0 {
            socket.close();
            assert_eq!(std::mem::take(&mut self.read), content(self.server, self.asked[0]));
            (self.phase, self.client_data) = (Phase::Read, None);
        }
    }

    fn server_hears_line(&mut self, world: &mut World, line: &str) {
        let (word, rest) = line.split_at(4.min(line.len()));
        let is_transfer = !matches!(word, "NOOP" | "QUIT");
        if is_transfer {
            self.asked[1] += 1;
        }
        let content = content(self.server, self.asked[1]);
        match (word, rest) {
            ("NOOP", rest) => {
                self.noops[1] += 1;
                assert_eq!(unpadded(rest.trim()), self.noops[1].to_string(), "{line}");
                let answer = padded(&format!("200 noop {}", self.noops[1]), &mut self.random);
                self.server_says.extend(answer);
            }
            ("PASV" | "epsv", "") => {
                let port = 1_024 + self.random.below(60_000) as u16;
                let handle = world.servers[self.server].listen(port);
                self.server_data = Some(Data { handle, content, has_sent: false });
                self.note();
                let own = world.setup.server_address(self.server);
                self.server_says.extend(match word {
                    "PASV" => format!("227 here ({}).\r\n", numbers(own, port)).into_bytes(),
                    _ => format!("229 here (|||{port}|)\r\n").into_bytes(),
                });
                self.note();
            }
            ("PORT" | "EPRT", rest) => {
                let (address, port) = match word {
                    "PORT" => endpoint(rest.trim()),
                    _ => {
                        let fields: Vec<&str> = rest.trim().split('|').collect();
                        assert_eq!(fields.len(), 5, "{line}");
                        (fields[2].parse().unwrap(), fields[3].parse().unwrap())
                    }
                };
                let (seen, _) = world.seen_as(self.talk.ends.source);
                assert_eq!(address, seen, "{line}");
                let from = world.a_port();
                let handle = world.servers[self.server].connect((address, port), from);
                self.server_data = Some(Data { handle, content, has_sent: false });
                self.server_says.extend(b"200 I connect\r\n");
                self.note();
            }
            ("QUIT", "") => self.server_says.extend(b"221 bye\r\n"),
            _ => panic!("the server hears {line:?}"),
        }
    }

    /// The server sends, and says so when the client has it all.
    fn send_data(&mut self, world: &mut World) {
        let Some(data) = &mut self.server_data else { return };
        let socket = world.servers[self.server].tcp(data.handle);
        socket.set_keep_alive(Some(REMINDED));
        if socket.can_send() && !data.has_sent {
            assert_eq!(socket.send_slice(&data.content), Ok(data.content.len()));
            socket.close();
            data.has_sent = true;
        }
        // The client has closed as well, so it has read all.
        let is_over = matches!(socket.state(), State::TimeWait | State::Closed);
        if is_over {
            let said: &[u8] = if data.has_sent { b"226 done\r\n" } else { b"425 cannot connect\r\n" };
            self.server_data = None;
            self.server_says.extend(said);
            self.note();
        }
    }

    /// Who has said all closes.
    fn close(&mut self, world: &mut World) {
        if self.phase == Phase::Leaving && self.notes[0] == self.notes[1] && self.noops[0] == self.noops[2] {
            let client = world.clients[self.talk.client].tcp(self.talk.handle);
            client.close();
            let server = world.servers[self.server].tcp(self.control);
            if server.state() == State::CloseWait {
                server.close();
                self.phase = Phase::Over;
            }
        }
    }
}

/// Sends what is to be said, or now and then only the beginning of it.
pub(crate) fn say(socket: &mut Socket<'_>, what: &mut Vec<u8>, random: &mut Random) {
    if socket.can_send() && !what.is_empty() {
        let most =
            if random.below(4) == 0 { 1 + random.below(what.len() as u64) as usize } else { what.len() };
        let sent = socket.send_slice(&what[..most]).unwrap();
        what.drain(..sent);
    }
}

/// The next line, if it has come whole.
pub(crate) fn line(heard: &mut Vec<u8>) -> Option<String> {
    let end = heard.windows(2).position(|end| end == b"\r\n")?;
    let line = heard.drain(..end + 2).take(end).collect();
    Some(String::from_utf8(line).expect("text"))
}

/// A line that says how long it is.
fn padded(text: &str, random: &mut Random) -> Vec<u8> {
    let len = 1 + random.below(30) as usize;
    format!("{text} {len} {}\r\n", ".".repeat(len)).into_bytes()
}

/// What it says besides, if it is as long as it says.
fn unpadded(text: &str) -> &str {
    let mut words = text.rsplitn(3, ' ');
    let (dots, len) = (words.next().unwrap(), words.next().unwrap());
    assert_eq!(dots, ".".repeat(len.parse().unwrap()), "{text}");
    words.next().unwrap()
}

fn numbers(address: IpAddr, port: u16) -> String {
    let mut text = address.to_string().replace('.', ",");
    let [high, low] = port.to_be_bytes();
    write!(text, ",{high},{low}").unwrap();
    text
}

fn endpoint(numbers: &str) -> (IpAddr, u16) {
    let numbers: Vec<u8> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
    let [a, b, c, d, high, low] = *numbers.as_slice() else { panic!("{numbers:?}") };
    ([a, b, c, d].into(), u16::from_be_bytes([high, low]))
}

/// Both methods and families, with one worker and with three and every spread.
fn setups() -> Vec<Setup> {
    let is_read = |setup: &Setup| matches!(setup.method, Method::Nat | Method::FullNat);
    let same = |setup: &Setup| setup.is_ipv6 == setup.to_ipv6;
    // Servers open connections by local ports whose worker the client's packets arrive at, which has to be known. No driver
    // spreads by flow without saying how.
    let is_known = |setup: &Setup| setup.method == Method::Nat || setup.spread != Spread::ByFlow;
    let setups = Setup::all().into_iter().filter(|it| is_read(it) && same(it) && is_known(it));
    setups.map(|setup| Setup { module: ModuleKind::Ftp, ..setup }).collect()
}

/// Sessions of two clients side by side, over such links.
fn sessions(setup: Setup, transfers: u32) {
    let mut world = World::new(&setup);
    let mut sessions = [0, 1].map(|client| Session::open(&mut world, client, setup.seed));
    world.run_until("all transfers", |world| {
        sessions.iter_mut().for_each(|session| session.turn(world, transfers));
        sessions.iter().all(|session| session.phase == Phase::Over)
    });
    // What a director cannot have come about it says.
    let failed: u32 = sessions.iter().map(|session| session.failed).sum();
    let lost = world.director.sum(|counters| &counters.expected_lost);
    assert!(u64::from(failed) <= lost, "{failed} connections for data failed, {lost} were not expected");
    assert!(world.director.sum(|counters| &counters.expected_came) >= u64::from(2 * transfers));
    assert!(setup.is_ipv6 || world.director.sum(|counters| &counters.rewritten) > 0);
    world.run_until("over", |world| world.director.entries().all(|(_, entry)| entry.state.is_over()));
    // Nothing happens for a long time then.
    if setup.seed.is_multiple_of(10) {
        world.finish();
    }
}

#[test]
fn commands_and_replies_arrive_whole_over_good_links() {
    for (seed, setup) in (1..).zip(setups()) {
        sessions(Setup { seed, ..setup }, 12);
    }
}

#[test]
fn commands_and_replies_arrive_whole_over_bad_links() {
    for (number, setup) in (0..).zip(setups()) {
        for seed in 0..20 {
            let faults = Faults::by_turns(seed);
            sessions(Setup { seed: 1_000 * number + seed, faults, ..setup }, 6);
        }
    }
}

/// Between two transfers the director starts anew, with what its state file has. A connection with a text on its way that
/// was replaced does not go on, and none that goes on is spoilt.
#[test]
fn sessions_go_on_in_the_next_run() {
    let (mut all, mut whole) = (0, 0);
    for (number, setup) in (0..).zip(setups()) {
        for seed in 0..4 {
            let seed = 5_000 + 100 * number + seed;
            let mut world = World::new(&Setup { seed, faults: Faults::FEW, ..setup });
            let mut session = Session::open(&mut world, 0, seed);
            let mut at = 1;
            world.run_until("all transfers, or a reset", |world| {
                session.turn(world, 6);
                if session.done == at && session.phase == Phase::Asked && session.client_data.is_none() {
                    at += 1;
                    world.renew_director();
                }
                session.phase == Phase::Over || session.talk.client_state(world) == State::Closed
            });
            (all, whole) = (all + 1, whole + u32::from(session.phase == Phase::Over));
        }
    }
    println!("{whole} of {all} sessions went on");
    assert!(whole * 2 > all, "{whole} of {all}");
}
