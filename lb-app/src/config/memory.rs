//! How much memory connection tables could take.

use std::fs;

/// Bytes that tables could be allocated from: what the kernel can give without swapping, and free huge pages.
/// `None` if the kernel does not say.
pub(crate) fn available_bytes() -> Option<u64> {
    from_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn from_meminfo(meminfo: &str) -> Option<u64> {
    // Lines are `MemAvailable:    1234 kB`, and `HugePages_Free:       3` without a unit.
    let value = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let huge_kb = value("HugePages_Free").unwrap_or(0).saturating_mul(value("Hugepagesize").unwrap_or(0));
    value("MemAvailable")?.checked_add(huge_kb)?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_count() {
        let meminfo = "MemTotal: 100 kB\nMemAvailable:   50 kB\nHugePages_Free:  2\nHugepagesize:  2048 kB\n";
        assert_eq!(from_meminfo(meminfo), Some((50 + 2 * 2048) * 1024));
        assert_eq!(from_meminfo("MemAvailable:   50 kB\n"), Some(50 * 1024));
        assert_eq!(from_meminfo("nothing"), None);
    }
}
