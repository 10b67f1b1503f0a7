//! Huge pages for a story, in a file system of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::{Scratch, run};

const COUNT: &str = "/proc/sys/vm/nr_hugepages";
const MEMORY: &str = "/proc/meminfo";
/// KiB of a page.
const PAGE_KIB: u64 = 2_048;

/// Huge pages that were reserved, and a directory to take them from. Both are given back.
#[derive(Debug)]
pub struct HugePages {
    pages: u64,
    directory: Scratch,
}

impl HugePages {
    /// Reserves that many MiB; `None` where the kernel has no huge pages of 2 MiB to give, as in a container.
    pub fn reserve(name: &str, mib: u64) -> Result<Option<Self>> {
        let pages = mib * 1_024 / PAGE_KIB;
        let directory = Scratch::named(name)?;
        let target = directory.path().display().to_string();
        if run(Command::new("mount").args(["-t", "hugetlbfs", "-o", "pagesize=2M", "none", &target])).is_err()
        {
            return Ok(None);
        }
        let Ok(()) = add(pages.cast_signed()) else {
            unmount(directory.path());
            return Ok(None);
        };
        let reserved = Self { pages, directory };
        Ok((free()? >= pages).then_some(reserved))
    }

    /// Where they are mounted.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        unmount(self.directory.path());
        // Others may have reserved some meanwhile; theirs stay.
        let _ = add(-self.pages.cast_signed());
    }
}

fn unmount(directory: &Path) {
    let _ = run(Command::new("umount").arg("--lazy").arg(directory));
}

fn add(pages: i64) -> Result<()> {
    let before: i64 = fs::read_to_string(COUNT)?.trim().parse()?;
    Ok(fs::write(COUNT, (before + pages).max(0).to_string())?)
}

fn free() -> Result<u64> {
    let meminfo = fs::read_to_string(MEMORY)?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    Ok(line.unwrap_or("0").trim().parse()?)
}
