//! What the live view says of a line that was chosen: what checks found, and what would happen to a client's packet.

use super::{rows::Subject, state::Change};
use crate::{
    protocol::{Reply, Request, explain, health, keys::Target, services},
    render::{Renderer, View},
    transport::{CallError, Transport},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// Carries a change out, and says what came of it.
pub(super) fn change<T: Transport + ?Sized>(transport: &mut T, change: &Change) -> Result<String, CallError> {
    let Change { subject, state } = change;
    let Some(server) = subject.server else { return Ok(String::new()) };
    let wanted = services::ServerChange {
        service: subject.name.clone(),
        address: server.address,
        port: Some(server.port),
        state: Some((*state).to_owned()),
        within_ms: None,
        options: BTreeMap::new(),
    };
    match transport.call(Request::Services(services::Request::ChangeServer(wanted))) {
        Ok(_) => Ok(format!("{server} of {}: {state}", subject.name)),
        Err(CallError::Refused(refusal)) => Ok(refusal.message),
        Err(lost) => Err(lost),
    }
}

/// Text about a service or a server, and about a packet of a client to it.
pub(super) fn explain<T: Transport + ?Sized>(
    transport: &mut T,
    subject: &Subject,
    client: Option<SocketAddr>,
) -> Result<Vec<String>, CallError> {
    let mut text = match subject.server {
        Some(server) => format!("server {server} of service {}\n\n", subject.name),
        None => format!("service {}\n\n", subject.name),
    };
    let request = health::Request::List { service: Some(subject.name.clone()), cursor: None };
    text += &told(transport, Request::Health(request), |reply| {
        if let (Reply::Health(page), Some(server)) = (reply, subject.server) {
            page.services.iter_mut().for_each(|service| service.servers.retain(|it| it.endpoint == server));
        }
    })?;
    if let Some(source) = client {
        let request = explain::Request {
            protocol: subject.service.protocol.into(),
            source,
            destination: Target::At(subject.service.endpoint()),
            flags: Vec::new(),
            port: None,
            quic_id: None,
            call: None,
        };
        text += &format!("\na packet of {source}:\n");
        text += &told(transport, Request::Explain(request), |_| {})?;
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// An answer as it reads elsewhere; a refusal is one as well.
fn told<T: Transport + ?Sized>(
    transport: &mut T,
    request: Request,
    narrow: impl FnOnce(&mut Reply),
) -> Result<String, CallError> {
    match transport.call(request) {
        Ok(mut reply) => {
            narrow(&mut reply);
            let mut renderer = Renderer::default();
            renderer.begin();
            Ok(renderer.page(&reply, View::Plain, true))
        }
        Err(CallError::Refused(refusal)) => Ok(format!("{}\n", refusal.message)),
        Err(lost) => Err(lost),
    }
}
