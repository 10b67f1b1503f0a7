//! The director goes and comes back in the middle of a connection.

use std::io::ErrorKind;

use anyhow::Result;
use lb_stories::config::Service;
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
