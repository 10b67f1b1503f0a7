//! How much memory connection tables could take.

use std::fs;

/// Bytes that tables could be allocated from: what the kernel can give without swapping. Reserved huge pages do not
/// count: packet buffers come from those, tables from transparent ones. `None` if the kernel does not say.
pub(crate) fn available_bytes() -> Option<u64> {
    from_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn from_meminfo(meminfo: &str) -> Option<u64> {
    // The line is `MemAvailable:    1234 kB`.
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much() {
        let meminfo = "MemTotal: 100 kB\nMemAvailable:   50 kB\nHugePages_Free:  2\nHugepagesize:  2048 kB\n";
        assert_eq!(from_meminfo(meminfo), Some(50 * 1024));
        assert_eq!(from_meminfo("nothing"), None);
    }
}
