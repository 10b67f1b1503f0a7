//! Durations as people write them: `500ms`, `2s`, `15m`, `1h30m`.

use lb_core::time::Duration;

/// Units, largest first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: whole numbers with units, larger units first, each at most once. `None` if it is none, or if it
/// does not fit into 64 bits of milliseconds.
///
/// Whatever [`Duration`]'s `Display` prints, this reads back.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        // Going on where the last unit was found keeps them in order.
        let (_, scale) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*scale)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_durations_like_this() {
        let ms = |text: &str| parse(text).map(Duration::as_millis);
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("0s"), Some(0));
        assert_eq!(ms("2s"), Some(2_000));
        assert_eq!(ms("15m"), Some(900_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("1d"), Some(86_400_000));
        assert_eq!(ms("1m1ms"), Some(60_001));
    }

    #[test]
    fn and_not_like_this() {
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "1S", "30m1h", "1m1m", "1w", "99999999999999999999s"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse("18446744073709551615h"), None, "too large");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ms in 0..u64::MAX) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&duration.to_string()), Some(duration));
        }

        #[test]
        fn any_text_is_fine(text in "\\PC*") {
            parse(&text);
        }
    }
}
