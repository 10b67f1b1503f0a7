//! The director goes and comes back in the middle of a connection.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::director::Director;
use lb_stories::process::PATIENCE;
use lb_stories::{Config, Method, World, world};

/// What it does not remember it resets: the client knows where it stands, and connects anew.
#[test]
fn old_connections_are_reset() -> Result<()> {
    let world = World::new()?;
    let config = Config::http();
    let director = world.start(&config)?;
    let mut sessions = Vec::new();
    for method in Method::ALL {
        let mut session = world.client().http(method.at(world::HTTP))?;
        session.get("/small")?;
        sessions.push((method, session));
    }
    director.stop()?;

    let director = world.start(&config)?;
    for (method, mut session) in sessions {
        let error = session.get("/small").expect_err("the director has forgotten this connection");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}: {error}", method.word());
        let answers = world.client().who_answers(method.at(world::HTTP), 10)?;
        assert_eq!(answers.len(), 2, "{}: {answers:?}", method.word());
    }
    director.stop()?;
    Ok(())
}

/// With a hash scheduler the same client goes to the same server again, and with `adopt` in mid-connection too, even
/// after a crash.
#[test]
fn adopted_connections_go_on() -> Result<()> {
    let world = World::new()?;
    let service = Service::tcp(Method::Dr, world::HTTP).scheduler("mh").adopting();
    let config = Config::new().service(service);
    let director = world.start(&config)?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let mut session = world.client().http(Method::Dr.at(world::HTTP))?;
        let server = session.get("/small")?.server;
        sessions.push((session, server));
    }
    director.kill();

    let director = world.start(&config)?;
    for (mut session, server) in sessions {
        assert_eq!(session.get("/small")?.server, server);
    }
    let adopted = director.status()?.connections;
    assert_eq!(adopted.len(), 8, "{adopted:?}");
    director.stop()?;
    Ok(())
}

/// What it leaves in a file goes on: every connection, with any scheduler, and with only as long a pause as the restart
/// takes.
#[test]
fn connections_go_on_in_the_next_run() -> Result<()> {
    let world = World::new()?;
    let state = world.directory().join("state");
    let http = Method::ALL.map(|method| Service::tcp(method, world::HTTP));
    let config = http.into_iter().fold(Config::new().state_file(&state), Config::service);
    let config = config.service(Service::udp(Method::Nat, world::ECHO));
    let mut director = world.start(&config)?;
    let mut sessions = Vec::new();
    for method in Method::ALL {
        for _ in 0..20 {
            let mut session = world.client().http(method.at(world::HTTP))?;
            let server = session.get("/small")?.server;
            sessions.push((method, session, server));
        }
    }
    let socket = world.client().udp(Method::Nat.at(world::ECHO))?;
    socket.set_read_timeout(Some(Duration::from_millis(2)))?;
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let over = AtomicBool::new(false);
        director = thread::scope(|scope| -> Result<Director> {
            let echoes = scope.spawn(|| longest_pause(&socket, &over));
            let end = director.stop();
            let next = end.and_then(|_| world.start(&config));
            over.store(true, Relaxed);
            pauses.push(echoes.join().expect("the echoes panicked")?);
            next
        })?;
        assert!(!state.exists(), "a state is used once");
        let said = director.output()?;
        assert!(said.contains("restored 61 of 61 connections from "), "{said}");
        for (method, session, server) in &mut sessions {
            let answer = session.get("/small").with_context(|| method.word())?;
            assert_eq!(answer.server, *server, "{}", method.word());
        }
    }
    println!("longest pauses in three restarts: {pauses:?}");
    director.stop()?;
    Ok(())
}

/// Sends a datagram every two milliseconds and returns the longest time between two echoes.
fn longest_pause(socket: &UdpSocket, over: &AtomicBool) -> Result<Duration> {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let mut echo = [0; 16];
    let mut end = None;
    // Until there is an echo after the restart.
    while end.is_none_or(|end| last < end) {
        if end.is_none() && over.load(Relaxed) {
            end = Some(Instant::now());
        }
        ensure!(last.elapsed() < PATIENCE, "no echo after the restart");
        // While nobody forwards, neither sending nor receiving needs to succeed.
        let _ = socket.send(b"still there?");
        if socket.recv(&mut echo).is_ok() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    Ok(longest)
}
