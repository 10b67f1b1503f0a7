//! Packets in files and streams.

use super::{answer::Answer, explain::refusal};
use crate::control::{
    live::running::Running,
    plane::ControlPlane,
    watch::{capture::CaptureSummary, stream::Piece},
};
use lb_ctl::protocol::{
    Reply,
    bytes::Bytes,
    capture::{Capture, Captured, Captures, Request, STREAM},
};
use std::time::Duration;

/// Bytes of one piece of a stream, about.
const PIECE: usize = 256 << 10;
/// How long a client waits for the first frame of a piece.
const WAIT: Duration = Duration::from_millis(250);

pub(super) fn answer(plane: &ControlPlane, request: &Request) -> Answer {
    let (running, watches) = (&*plane.running, &plane.watches);
    let start = |port: &Option<String>, filter, file, count, snaplen: Option<u32>| {
        let snaplen = snaplen.map(|snaplen| snaplen as usize);
        let id = watches
            .start_capture(running, port.as_deref(), filter, file, count, snaplen)
            .map_err(|error| refusal(&error))?;
        Ok(list(running, watches.captures().into_iter().filter(|capture| capture.id == id)))
    };
    match request {
        Request::Start { port, filter, file, count, snaplen } => {
            start(port, filter, Some(file.as_path()), *count, *snaplen)
        }
        Request::Stream { port, filter, count, snaplen } => start(port, filter, None, *count, *snaplen),
        Request::Read { id } => {
            let piece = watches.read_capture(running, *id, PIECE, WAIT).map_err(|error| refusal(&error))?;
            let Piece { bytes, missed, is_last } = piece;
            Ok(Reply::Captured(Captured { id: *id, pcapng: Bytes(bytes), missed, over: is_last }))
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
        file: summary.file.unwrap_or_else(|| STREAM.into()),
        count: summary.count,
        written: summary.written,
        missed: summary.missed,
        running: summary.is_running,
    });
    Reply::Captures(Captures { captures: captures.collect() })
}
