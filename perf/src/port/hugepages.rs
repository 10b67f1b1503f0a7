//! Huge pages for the time of a run.

use std::fs;

const COUNT: &str = "/proc/sys/vm/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
/// Pages of 2 MiB that a forwarder takes, and some.
const WANTED: u64 = 256;

/// Huge pages that were reserved, or not. Those that were are given back.
#[derive(Debug)]
pub struct HugePages {
    before: Option<u64>,
    /// Whether there are enough.
    pub enough: bool,
}

impl HugePages {
    /// Reserves as many as one forwarder needs, if the kernel finds them.
    #[must_use]
    pub fn reserve() -> Self {
        let mut pages = HugePages { before: None, enough: read(FREE) >= Some(WANTED) };
        if !pages.enough
            && let Some(before) = read(COUNT)
            && fs::write(COUNT, (before + WANTED).to_string()).is_ok()
        {
            pages.before = Some(before);
            pages.enough = read(FREE) >= Some(WANTED);
        }
        pages
    }

    /// EAL's arguments for memory.
    #[must_use]
    pub fn eal_arguments(&self) -> &'static [&'static str] {
        if self.enough { &["--in-memory"] } else { &["--no-huge", "-m", "512"] }
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && let Err(error) = fs::write(COUNT, before.to_string())
        {
            eprintln!("{COUNT} was {before}: {error}");
        }
    }
}

fn read(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
