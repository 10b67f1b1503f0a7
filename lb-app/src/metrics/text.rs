//! The text that Prometheus reads: OpenMetrics 1.0, or the older format that differs from it in details.
//!
//! Written by hand, because a large director has a million lines: labels are made once for each server, and a line is
//! then two copies and a number.

use std::fmt::Write;

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's own, version 0.0.4.
    Prometheus,
}

impl Format {
    /// The best that a client takes, by its field `Accept`.
    pub(crate) fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    /// The field `Content-Type`.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What kind of family it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows. Its samples' names end with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Describes, always 1. Its samples' names end with `_info`.
    Info,
    /// Counts by size. Its samples are buckets, a sum and a count.
    Histogram,
}

/// Name and help of a gauge, and its value.
pub(super) type Gauge<T> = (&'static str, &'static str, fn(&T) -> u64);

/// A family of samples: same name, different labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// Without what the kind adds to it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// Text in the making, given away piece by piece.
pub(crate) struct Writer<F: FnMut(Vec<u8>)> {
    format: Format,
    buffer: Vec<u8>,
    /// The name of the family's samples.
    sample: String,
    send: F,
}

/// Size of a piece.
const PIECE: usize = 256 << 10;
/// What one line may take beyond its labels.
const LINE: usize = 128;

impl<F: FnMut(Vec<u8>)> Writer<F> {
    /// Gives pieces to `send`.
    pub(crate) fn new(format: Format, send: F) -> Self {
        Writer { format, buffer: Vec::with_capacity(PIECE), sample: String::new(), send }
    }

    /// Begins a family.
    pub(crate) fn family(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        let (suffix, kind) = match kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            // The older format knows no such kind.
            Kind::Info => ("_info", if self.format == Format::OpenMetrics { "info" } else { "gauge" }),
            Kind::Histogram => ("", "histogram"),
        };
        self.sample = format!("{name}{suffix}");
        let described = match self.format {
            Format::OpenMetrics => *name,
            Format::Prometheus => self.sample.as_str(),
        };
        let text = format!("# HELP {described} {help}\n# TYPE {described} {kind}\n");
        self.buffer.extend_from_slice(text.as_bytes());
        if self.format == Format::OpenMetrics
            && let Some(unit) = ["bytes", "seconds", "cycles"].iter().find(|unit| name.ends_with(*unit))
        {
            self.buffer.extend_from_slice(format!("# UNIT {name} {unit}\n").as_bytes());
        }
    }

    /// A sample; `labels` come from [`labels`].
    #[inline]
    pub(crate) fn sample(&mut self, labels: &str, value: u64) {
        self.make_room(labels.len());
        self.buffer.extend_from_slice(self.sample.as_bytes());
        self.buffer.extend_from_slice(labels.as_bytes());
        self.buffer.push(b' ');
        push_number(&mut self.buffer, value);
        self.buffer.push(b'\n');
    }

    /// A sample that is not a whole number.
    pub(crate) fn fraction(&mut self, labels: &str, value: f64) {
        self.make_room(labels.len());
        self.buffer.extend_from_slice(format!("{}{labels} {value}\n", self.sample).as_bytes());
    }

    /// A sample of a histogram, with what stands behind the family's name.
    pub(crate) fn part(&mut self, suffix: &str, labels: &str, value: u64) {
        self.make_room(labels.len());
        self.buffer.extend_from_slice(format!("{}{suffix}{labels} {value}\n", self.sample).as_bytes());
    }

    /// Families of counters by name and help, each with a sample of every thing: its labels, and its counters in that order.
    pub(crate) fn counters<'a>(
        &mut self,
        families: &[(&'static str, &'static str)],
        things: &(impl Iterator<Item = (&'a str, &'a [u64])> + Clone),
    ) {
        for (index, &(name, help)) in families.iter().enumerate() {
            self.family(&Family { name, kind: Kind::Counter, help });
            things.clone().for_each(|(labels, counters)| self.sample(labels, counters[index]));
        }
    }

    /// Families of gauges, each with a sample of every thing, which come with their labels.
    pub(crate) fn gauges<'a, T: 'a>(
        &mut self,
        families: &[Gauge<T>],
        things: &(impl Iterator<Item = (&'a str, &'a T)> + Clone),
    ) {
        for &(name, help, value) in families {
            self.family(&Family { name, kind: Kind::Gauge, help });
            things.clone().for_each(|(labels, thing)| self.sample(labels, value(thing)));
        }
    }

    /// Ends the text.
    pub(crate) fn finish(mut self) {
        if self.format == Format::OpenMetrics {
            self.buffer.extend_from_slice(b"# EOF\n");
        }
        (self.send)(self.buffer);
    }

    #[inline]
    fn make_room(&mut self, labels: usize) {
        if self.buffer.len() + labels + LINE > PIECE {
            let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
            (self.send)(piece);
        }
    }
}

/// Labels with their braces, escaped.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(160);
    text.push('{');
    for (index, (name, value)) in pairs.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text.push('}');
    text
}

fn push_number(buffer: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACKETS: Family = Family { name: "lb_received_packets", kind: Kind::Counter, help: "Packets." };

    fn write(format: Format) -> String {
        let mut text = Vec::new();
        let mut writer = Writer::new(format, |piece| text.extend(piece));
        writer.family(&PACKETS);
        writer.sample(&labels(&[("port", "a\"b\\c\nd")]), 7);
        writer.family(&Family { name: "lb_build", kind: Kind::Info, help: "Build." });
        writer.sample("", 1);
        writer.family(&Family { name: "lb_up_seconds", kind: Kind::Gauge, help: "Time." });
        writer.fraction("", 0.5);
        writer.finish();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn both_formats() {
        assert_eq!(
            write(Format::OpenMetrics),
            "# HELP lb_received_packets Packets.\n# TYPE lb_received_packets counter\n\
             lb_received_packets_total{port=\"a\\\"b\\\\c\\nd\"} 7\n\
             # HELP lb_build Build.\n# TYPE lb_build info\nlb_build_info 1\n\
             # HELP lb_up_seconds Time.\n# TYPE lb_up_seconds gauge\n# UNIT lb_up_seconds seconds\nlb_up_seconds 0.5\n# EOF\n"
        );
        assert_eq!(
            write(Format::Prometheus),
            "# HELP lb_received_packets_total Packets.\n# TYPE lb_received_packets_total counter\n\
             lb_received_packets_total{port=\"a\\\"b\\\\c\\nd\"} 7\n\
             # HELP lb_build_info Build.\n# TYPE lb_build_info gauge\nlb_build_info 1\n\
             # HELP lb_up_seconds Time.\n# TYPE lb_up_seconds gauge\nlb_up_seconds 0.5\n"
        );
    }

    #[test]
    fn clients_say_what_they_take() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_usual(value: u64) {
            let mut buffer = Vec::new();
            push_number(&mut buffer, value);
            prop_assert_eq!(String::from_utf8(buffer).unwrap(), value.to_string());
        }
    }
}
