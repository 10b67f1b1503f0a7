//! What the live view shows, asked of the director once for each frame.

use crate::{
    protocol::{Reply, Request, connections, director, forward, services, workers},
    transport::{CallError, Transport},
};

/// Pages of services that are asked for, at most: a screen shows a few dozen lines.
const MOST_PAGES: usize = 5;

/// Everything on a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) about: director::About,
    pub(super) count: connections::Count,
    pub(super) services: Vec<services::Service>,
    /// There are more services than were asked for.
    pub(super) cut: bool,
    pub(super) workers: Vec<workers::Worker>,
    pub(super) drops: Vec<forward::Drop>,
}

impl Picture {
    pub(super) fn take<T: Transport + ?Sized>(transport: &mut T) -> Result<Self, CallError> {
        let Reply::About(about) = transport.call(Request::Director(director::Request::About))? else {
            return Err(nonsense());
        };
        let Reply::ConnectionCount(count) =
            transport.call(Request::Connections(connections::Request::Count))?
        else {
            return Err(nonsense());
        };
        let Reply::Workers(workers) = transport.call(Request::Workers(workers::Request::List))? else {
            return Err(nonsense());
        };
        let Reply::Drops(drops) = transport.call(Request::Forward(forward::Request::Drops { all: false }))?
        else {
            return Err(nonsense());
        };
        let (services, cut) = services(transport)?;
        Ok(Picture { about, count, services, cut, workers: workers.workers, drops: drops.reasons })
    }
}

fn services<T: Transport + ?Sized>(transport: &mut T) -> Result<(Vec<services::Service>, bool), CallError> {
    let mut all: Vec<services::Service> = Vec::new();
    let mut cursor = None;
    for _ in 0..MOST_PAGES {
        let request = services::Request::List { name: None, cursor };
        let Reply::Services(page) = transport.call(Request::Services(request))? else {
            return Err(nonsense());
        };
        for service in page.services {
            match all.last_mut() {
                // One with very many servers continues.
                Some(last) if last.name == service.name => last.servers.extend(service.servers),
                _ => all.push(service),
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok((all, false));
        }
    }
    Ok((all, true))
}

fn nonsense() -> CallError {
    CallError::Lost("unexpected answer from the director".to_owned())
}
