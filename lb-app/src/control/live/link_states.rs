//! What was found at the last look at the links of ports, for everybody who wants to know: [`links`](super::links) looks.

use lb_core::packet::PortId;
use parking_lot::Mutex;
use std::time::Instant;

/// What was found at the last look, by port. Nothing before the first.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Vec<Found>>);

/// How a port's link was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    /// It is up, and the port is not stopped.
    is_up: bool,
    /// Since when that is so, and workers poll ports.
    polled: Option<Instant>,
}

impl Links {
    /// Whether a port is started and its link is up; nothing before the first look.
    pub(crate) fn is_up(&self, port: PortId) -> Option<bool> {
        self.0.lock().get(usize::from(port.0)).map(|found| found.is_up)
    }

    /// By port: since when its link has been up and it has been polled. Nothing while that is not so.
    pub(crate) fn polled_since(&self) -> Vec<Option<Instant>> {
        self.0.lock().iter().map(|found| found.polled).collect()
    }

    /// Keeps what was found. All that there was time to find out before the first look is as good as what is found out
    /// after it: then links are up since `start`.
    pub(super) fn keep(
        &self,
        up: impl Iterator<Item = bool>,
        is_polled: bool,
        (start, now): (Instant, Instant),
    ) {
        let mut found = self.0.lock();
        let (is_first, before) = (found.is_empty(), std::mem::take(&mut *found));
        let new = if is_first { start } else { now };
        let each = up.enumerate().map(|(port, is_up)| {
            let since = before.get(port).and_then(|before| before.polled).unwrap_or(new);
            Found { is_up, polled: (is_up && is_polled).then_some(since) }
        });
        *found = each.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_port_is_polled_since_it_came_back() {
        let (links, start) = (Links::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let keep = |up: [bool; 2], is_polled, ms| {
            links.keep(up.into_iter(), is_polled, (start, at(ms)));
            links.polled_since()
        };
        assert!(links.polled_since().is_empty() && links.is_up(PortId(0)).is_none(), "nobody has looked");
        assert_eq!(keep([true, false], true, 1), [Some(start), None]);
        assert_eq!(keep([false, true], true, 2), [None, Some(at(2))]);
        assert_eq!(keep([true, true], true, 3), [Some(at(3)), Some(at(2))]);
        assert_eq!(keep([true, false], false, 4), [None, None], "forwarding is stopped");
        assert_eq!([0, 1, 2].map(|port| links.is_up(PortId(port))), [Some(true), Some(false), None]);
        assert_eq!(keep([true, true], true, 5), [Some(at(5)), Some(at(5))]);
    }
}
