//! Numbers and times as people read them.

use std::net::{IpAddr, SocketAddr};

/// A number in at most six characters, with ipvsadm's suffixes.
pub(crate) fn short(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..10_000_000 => format!("{}K", number / 1_000),
        10_000_000..10_000_000_000 => format!("{}M", number / 1_000_000),
        10_000_000_000..10_000_000_000_000 => format!("{}G", number / 1_000_000_000),
        _ => format!("{}T", number / 1_000_000_000_000),
    }
}

/// Bytes with a binary unit.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..10_240 => format!("{number} B"),
        10_240..10_485_760 => format!("{} KiB", number >> 10),
        10_485_760..10_737_418_240 => format!("{} MiB", number >> 20),
        _ => format!("{} GiB", number >> 30),
    }
}

/// Minutes and seconds, rounded up so that what is still there does not show 00:00.
pub(super) fn minutes(left_ms: u64) -> String {
    let seconds = left_ms.div_ceil(1_000);
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// A time in its two largest units.
pub(crate) fn span(ms: u64) -> String {
    let (s, m, h, d) = (ms / 1_000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match (d, h, m, s) {
        (0, 0, 0, 0) => format!("{ms}ms"),
        (0, 0, 0, _) if !ms.is_multiple_of(1_000) => format!("{s}.{:03}s", ms % 1_000),
        (0, 0, 0, _) => format!("{s}s"),
        (0, 0, _, _) => format!("{m}m{:02}s", s % 60),
        (0, _, _, _) => format!("{h}h{:02}m", m % 60),
        _ => format!("{d}d{:02}h", h % 24),
    }
}

/// A moment, UTC, to the second: `2026-11-29T15:04:05Z`. From milliseconds since 1970.
pub(crate) fn moment(at_ms: u64) -> String {
    let s = at_ms / 1_000;
    // Days since 1 March of year 0, in eras of 400 years, so that leap days come last ("civil from days").
    let days = s / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (s / 3_600 % 24, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Address and port; IPv6 in brackets.
pub(super) fn endpoint(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        assert_eq!(
            [0, 99_999, 100_000, 12_345_678, u64::MAX].map(short),
            ["0", "99999", "100K", "12M", "18446744T"]
        );
        assert_eq!([0, 20_480, 1 << 30].map(bytes), ["0 B", "20 KiB", "1024 MiB"]);
    }

    #[test]
    fn moments_are_dates_and_times() {
        for (s, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(s * 1_000 + 999), expected);
        }
    }

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!([1, 60_000, 898_000, 7_200_000].map(minutes), ["00:01", "01:00", "14:58", "120:00"]);
        assert_eq!(
            [5, 1_500, 60_000, 3_700_000, 90_000_000].map(span),
            ["5ms", "1.500s", "1m00s", "1h01m", "1d01h"]
        );
    }
}
