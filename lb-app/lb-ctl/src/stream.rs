//! `capture start ... -`: packets to standard output as they pass, for Wireshark and others to read.

use crate::{
    failure::Failure,
    protocol::{
        Reply, Request,
        capture::{self, Captured},
    },
    transport::{CallError, Transport},
};
use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// Writes a capture until it has all its packets, or until Ctrl-C. How much was missed goes to standard error.
pub(crate) fn run<T: Transport>(
    transport: &mut T,
    request: capture::Request,
    interrupt: &AtomicBool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        let what = "packets are no text for a terminal: give them on, as in `lbctl capture start all tcp - | wireshark -k -i -`";
        return Err(Failure::Wrong(what.to_owned()));
    }
    interrupt.store(false, Ordering::Relaxed);
    let Reply::Captures(started) = transport.call(Request::Capture(request))? else { return Err(nonsense()) };
    let id = started.captures.first().ok_or_else(nonsense)?.id;
    loop {
        let reply = transport.call(Request::Capture(capture::Request::Read { id }))?;
        let Reply::Captured(Captured { pcapng, missed, over, .. }) = reply else { return Err(nonsense()) };
        if let Err(error) = out.write_all(&pcapng.0).and_then(|()| out.flush()) {
            // Nobody reads it any more.
            let _ = transport.call(Request::Capture(capture::Request::Stop { id }));
            return Err(error.into());
        }
        if over {
            if missed > 0 {
                eprintln!("{missed} frames were missed: they came faster than they were read");
            }
            return Ok(());
        }
        if interrupt.swap(false, Ordering::Relaxed) {
            // What was captured until now still comes.
            transport.call(Request::Capture(capture::Request::Stop { id }))?;
        }
    }
}

fn nonsense() -> Failure {
    CallError::Lost("unexpected answer from the director".to_owned()).into()
}
