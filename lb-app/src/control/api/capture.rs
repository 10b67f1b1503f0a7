//! Packets in files.

use super::{answer::Answer, explain::refusal};
use crate::control::{live::running::Running, plane::ControlPlane, watch::capture::CaptureSummary};
use lb_ctl::protocol::{
    Reply,
    capture::{Capture, Captures, Request},
};

pub(super) fn answer(plane: &ControlPlane, request: &Request) -> Answer {
    let (running, watches) = (&*plane.running, &plane.watches);
    match request {
        Request::Start { port, filter, file, count, snaplen } => {
            let snaplen = snaplen.map(|snaplen| snaplen as usize);
            let id = watches
                .start_capture(running, port.as_deref(), filter, file, *count, snaplen)
                .map_err(|error| refusal(&error))?;
            Ok(list(running, watches.captures().into_iter().filter(|capture| capture.id == id)))
        }
        Request::List => Ok(list(running, watches.captures())),
        Request::Stop { id } => {
            let ended = watches.stop_capture(running, *id).map_err(|error| refusal(&error))?;
            Ok(list(running, [ended]))
        }
    }
}

fn list(running: &Running, captures: impl IntoIterator<Item = CaptureSummary>) -> Reply {
    let names = running.port_names();
    let captures = captures.into_iter().map(|summary| Capture {
        id: summary.id,
        port: summary.port.and_then(|port| names.get(usize::from(port.0)).cloned()),
        filter: summary.filter,
        file: summary.file,
        count: summary.count,
        written: summary.written,
        missed: summary.missed,
        running: summary.is_running,
    });
    Reply::Captures(Captures { captures: captures.collect() })
}
