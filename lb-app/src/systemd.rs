//! Messages to the service manager in systemd's protocol, which costs nothing where nobody listens.

use sd_notify::NotifyState;
use std::time::Duration;

/// Everything is ready; `status` is the line for `systemctl status`.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The line for `systemctl status`.
pub(crate) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Everything works; with the line for `systemctl status`.
pub(crate) fn feed_watchdog(status: &str) {
    tell(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

/// The time within which the manager expects a message, if it does.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The configuration is being read again, until the returned value is dropped.
pub(crate) fn reloading() -> Reloading {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
    Reloading
}

/// The end has begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the manager that reloading is over when it is dropped.
pub(crate) struct Reloading;

impl Drop for Reloading {
    fn drop(&mut self) {
        tell(&[NotifyState::Ready]);
    }
}

/// A manager that does not listen is no reason to stop.
fn tell(state: &[NotifyState]) {
    let _ = sd_notify::notify(state);
}
