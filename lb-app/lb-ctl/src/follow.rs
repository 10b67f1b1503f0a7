//! `watch`: events as they happen, over lost connections and restarts of the director.

use crate::{
    failure::Failure,
    protocol::{
        Reply, Request,
        events::{Events, Request as Ask},
    },
    render,
    transport::{CallError, Transport},
};
use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(250);
/// Time between two attempts to reach a director that was lost.
const AGAIN: Duration = Duration::from_secs(1);
/// Time between two looks whether somebody wants an end.
const LOOK: Duration = Duration::from_millis(50);

/// Shows the latest events, and those that follow until Ctrl-C. With `json`, each is an object on a line of its own, and
/// so is the number of those that were missed: `{"missed":3}`. What becomes of the connection goes to standard error.
pub(crate) fn run<T: Transport>(
    transport: &mut T,
    latest: u32,
    json: bool,
    interrupt: &AtomicBool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    interrupt.store(false, Ordering::Relaxed);
    let mut ask = Ask::List { after: None, run: None, latest: Some(latest) };
    loop {
        let page = match transport.call(Request::Events(ask.clone())) {
            Ok(Reply::Events(page)) => page,
            Ok(_) => return Err(CallError::Lost("the director answered something else".to_owned()).into()),
            Err(CallError::Lost(why)) => {
                eprintln!("{why}; trying again every {} s", AGAIN.as_secs());
                if reach(transport, interrupt)? {
                    eprintln!("connected again");
                    continue;
                }
                return Ok(());
            }
            Err(refused) => return Err(refused.into()),
        };
        if let Ask::List { run: Some(run), .. } = ask
            && run != page.run
        {
            eprintln!("the director was started again: its events begin anew");
        }
        show(&page, json, out)?;
        out.flush()?;
        ask = Ask::List { after: Some(page.after), run: Some(page.run), latest: None };
        if !page.more && is_over(interrupt, EVERY) {
            return Ok(());
        }
    }
}

fn show(page: &Events, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if page.missed > 0 {
        match json {
            true => writeln!(out, "{{\"missed\":{}}}", page.missed)?,
            false => out.write_all(render::missed(page.missed).as_bytes())?,
        }
    }
    for event in &page.events {
        if json {
            serde_json::to_writer(&mut *out, event).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        } else {
            out.write_all(render::event(event).as_bytes())?;
        }
    }
    Ok(())
}

/// Reaches the director again, however long it takes. `false` if somebody wants an end first.
fn reach<T: Transport>(transport: &mut T, interrupt: &AtomicBool) -> Result<bool, Failure> {
    loop {
        match transport.reconnect() {
            Ok(()) => return Ok(true),
            Err(CallError::Lost(_)) if is_over(interrupt, AGAIN) => return Ok(false),
            Err(CallError::Lost(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
}

/// Waits, unless somebody wants an end.
fn is_over(interrupt: &AtomicBool, time: Duration) -> bool {
    for _ in 0..time.as_millis() / LOOK.as_millis() {
        if interrupt.swap(false, Ordering::Relaxed) {
            return true;
        }
        thread::sleep(LOOK);
    }
    interrupt.swap(false, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::events::{Event, Kind};

    /// A director that is lost and started again.
    struct Script(Vec<Result<Events, &'static str>>, Vec<Ask>);

    impl Transport for Script {
        fn call(&mut self, request: Request) -> Result<Reply, CallError> {
            let Request::Events(ask) = request else { panic!("{request:?}") };
            self.1.push(ask);
            match self.0.pop() {
                Some(Ok(page)) => Ok(Reply::Events(page)),
                Some(Err(why)) => Err(CallError::Lost(why.to_owned())),
                None => Err(CallError::Refused(crate::protocol::Refusal::new(
                    crate::protocol::Code::Busy,
                    "the end of the test",
                ))),
            }
        }

        fn reconnect(&mut self) -> Result<(), CallError> {
            Ok(())
        }
    }

    fn page(run: u64, missed: u64, seqs: std::ops::Range<u64>) -> Result<Events, &'static str> {
        let event = |seq| Event {
            seq,
            at_ms: 0,
            kind: Kind::LinkUp,
            severity: Kind::LinkUp.severity(),
            text: format!("event {seq}"),
            service: None,
            server: None,
            reason: None,
            by: None,
            details: Vec::new(),
        };
        let after = seqs.end - 1;
        Ok(Events { run, missed, events: seqs.map(event).collect(), after, more: false })
    }

    fn watch(json: bool) -> (String, Vec<Ask>) {
        let mut pages = vec![
            page(7, 0, 4..6),
            page(7, 2, 8..9),
            Err("the connection was lost"),
            page(7, 0, 9..9),
            page(8, 0, 1..2),
        ];
        pages.reverse();
        let mut director = Script(pages, Vec::new());
        let mut out = Vec::new();
        let end = run(&mut director, 3, json, &AtomicBool::new(false), &mut out);
        assert!(matches!(end, Err(Failure::Call(CallError::Refused(_)))), "{end:?}");
        (String::from_utf8(out).unwrap(), director.1)
    }

    #[test]
    fn nothing_is_shown_twice_and_what_is_missed_is_said() {
        let (text, asked) = watch(false);
        let of = |needle: &str| text.matches(needle).count();
        assert_eq!((of("event 4"), of("event 5"), of("event 8"), of("event 1")), (1, 1, 1, 1), "{text}");
        assert!(text.contains("2 earlier events are no longer kept\n"), "{text}");
        let after = |after, run| Ask::List { after: Some(after), run: Some(run), latest: None };
        assert_eq!(asked[0], Ask::List { after: None, run: None, latest: Some(3) });
        assert_eq!(asked[1..], [after(5, 7), after(8, 7), after(8, 7), after(8, 7), after(1, 8)]);
    }

    #[test]
    fn with_json_each_event_is_a_line() {
        let (text, _) = watch(true);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[2], serde_json::json!({ "missed": 2 }));
        assert_eq!(lines[3]["kind"], "link-up");
    }
}
