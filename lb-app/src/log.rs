//! The log, on standard error: text or JSON, at a level that can be changed, with a limit for similar messages. Workers
//! never log: they count.

use clap::ValueEnum;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt::{self, Write},
    io::IsTerminal,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
    info,
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::Filtered,
    fmt::layer,
    layer::{Context, Filter, SubscriberExt},
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

/// How long messages of one kind are counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// How many messages of one kind there are in that time. Details, which somebody asked for, are not limited.
const MOST: u32 = 100;

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// The running log.
pub(crate) struct Log {
    level: reload::Handle<EnvFilter, Registry>,
}

/// Starts it. The environment variable `RUST_LOG` sets the level at start.
pub(crate) fn start(format: Format) -> Log {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, level) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let plain = layer().with_writer(std::io::stderr).with_target(false);
    match format {
        Format::Text => registry.with(limited(plain.with_ansi(std::io::stderr().is_terminal()))).init(),
        Format::Json => registry.with(limited(plain.json().flatten_event(true).with_ansi(false))).init(),
    }
    Log { level }
}

impl Log {
    /// Logs errors (0), warnings (1), what is worth knowing (2), details (3), everything (4).
    ///
    /// # Errors
    /// When there is no such level.
    pub(crate) fn set_verbosity(&self, verbosity: u8) -> Result<(), String> {
        let words = ["error", "warn", "info", "debug", "trace"];
        let word = words.get(usize::from(verbosity)).ok_or_else(|| "invalid level: use 0 to 4".to_owned())?;
        self.level.reload(EnvFilter::new(word)).map_err(|error| error.to_string())
    }
}

/// Says what was left out since the last time. To be called now and then.
pub(crate) fn say_what_was_left_out(now: Instant) {
    // Most of the time there is nothing to look for.
    if !LEFT_OUT.load(Ordering::Relaxed) {
        return;
    }
    let left_out = KINDS.lock().take_left_out(now);
    for (count, like) in left_out {
        info!("suppressed {count} similar messages within {} s, the first: {like}", WINDOW.as_secs());
    }
}

/// Messages by where they come from.
static KINDS: LazyLock<Mutex<Kinds<Identifier>>> = LazyLock::new(Mutex::default);
/// Whether any were left out.
static LEFT_OUT: AtomicBool = AtomicBool::new(false);

fn limited<S: Subscriber + for<'a> LookupSpan<'a>, L: Layer<S>>(layer: L) -> Filtered<L, Limit, S> {
    layer.with_filter(Limit)
}

/// Limits the number of messages of a kind.
struct Limit;

impl<S> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let like = || {
            let mut text = Text::default();
            event.record(&mut text);
            text.0
        };
        let passes = KINDS.lock().passes(metadata.callsite(), Instant::now(), like);
        if !passes {
            LEFT_OUT.store(true, Ordering::Relaxed);
        }
        passes
    }
}

/// Counts messages by kind.
struct Kinds<K>(HashMap<K, Kind>);

struct Kind {
    since: Instant,
    passed: u32,
    left_out: u64,
    /// The first that was left out.
    like: String,
}

impl<K> Default for Kinds<K> {
    fn default() -> Self {
        Kinds(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Kinds<K> {
    fn passes(&mut self, key: K, now: Instant, like: impl FnOnce() -> String) -> bool {
        let new = || Kind { since: now, passed: 0, left_out: 0, like: String::new() };
        let kind = self.0.entry(key).or_insert_with(new);
        if now.duration_since(kind.since) >= WINDOW {
            (kind.since, kind.passed) = (now, 0);
        }
        if kind.passed < MOST {
            kind.passed += 1;
            return true;
        }
        if kind.left_out == 0 {
            kind.like = like();
        }
        kind.left_out += 1;
        false
    }

    /// Of each kind whose time is over, how many were left out, and the first of them.
    fn take_left_out(&mut self, now: Instant) -> Vec<(u64, String)> {
        let over = self
            .0
            .values_mut()
            .filter(|kind| kind.left_out > 0 && now.duration_since(kind.since) >= WINDOW)
            .map(|kind| (std::mem::take(&mut kind.left_out), std::mem::take(&mut kind.like)))
            .collect();
        LEFT_OUT.store(self.0.values().any(|kind| kind.left_out > 0), Ordering::Relaxed);
        over
    }
}

/// A message with its fields, in a line.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_too_frequent_is_cut_short_and_counted() {
        let mut kinds = Kinds::default();
        let start = Instant::now();
        let passed = |kinds: &mut Kinds<u8>, kind, at: Duration| {
            (0..250).filter(|n| kinds.passes(kind, start + at, || format!("{kind}/{n}"))).count()
        };
        assert_eq!(passed(&mut kinds, 1, Duration::ZERO), MOST as usize);
        assert_eq!(passed(&mut kinds, 2, WINDOW / 2), MOST as usize, "each kind by itself");
        assert!(kinds.take_left_out(start + WINDOW / 2).is_empty(), "while it lasts");
        assert_eq!(kinds.take_left_out(start + WINDOW), [(150, "1/100".to_owned())]);
        assert!(kinds.take_left_out(start + WINDOW).is_empty(), "said once");
        assert_eq!(passed(&mut kinds, 1, WINDOW), MOST as usize, "then it begins anew");
        assert_eq!(kinds.take_left_out(start + WINDOW * 3).len(), 2);
    }
}
