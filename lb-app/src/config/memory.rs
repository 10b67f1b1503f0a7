//! How much memory connection tables could take.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Bytes that tables could be allocated from: what the kernel can give without swapping, and what the limits of the
/// process's control groups leave of it. Reserved huge pages do not count: packet buffers come from those, tables from
/// transparent ones. `None` if the kernel does not report it.
pub(crate) fn available_bytes() -> Option<u64> {
    available_below(Path::new("/"))
}

/// The same with `/proc` and `/sys` below `root`.
pub(crate) fn available_below(root: &Path) -> Option<u64> {
    let machine = from_meminfo(&fs::read_to_string(root.join("proc/meminfo")).ok()?)?;
    Some(control_group_bytes(root).map_or(machine, |group| group.min(machine)))
}

fn from_meminfo(meminfo: &str) -> Option<u64> {
    // The line is `MemAvailable:    1234 kB`.
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the lowest limit of the process's control groups leaves; `None` without a limit.
fn control_group_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let mut least = None;
    // A line is `0::/a/b` for version 2 and `4:memory:/a/b` for version 1.
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (mount, limit, usage, inactive) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
            list if list.split(',').any(|one| one == "memory") => (
                "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ),
            _ => continue,
        };
        // Limits of all groups above count as well. In a container the group may be mounted as the root.
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            let directory = root.join(mount).join(group);
            let Some(limit) = number(directory.join(limit)) else { continue };
            let used = number(directory.join(usage)).unwrap_or(0);
            // Cached files go when memory is wanted.
            let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
            let cached =
                stat.lines().find_map(|line| line.strip_prefix(inactive)?.trim().parse::<u64>().ok());
            let left = limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0)));
            least = Some(least.map_or(left, |least: u64| least.min(left)));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tree::Tree;

    #[test]
    fn the_kernel_says_how_much() {
        let meminfo = "MemTotal: 100 kB\nMemAvailable:   50 kB\nHugePages_Free:  2\nHugepagesize:  2048 kB\n";
        assert_eq!(from_meminfo(meminfo), Some(50 * 1024));
        assert_eq!(from_meminfo("nothing"), None);
    }

    #[test]
    fn limits_of_control_groups_count() {
        let tree =
            Tree::new(&[("proc/meminfo", "MemAvailable: 1000 kB\n"), ("proc/self/cgroup", "0::/a/b\n")]);
        assert_eq!(available_below(tree.path()), Some(1_024_000), "no limit");
        tree.write("sys/fs/cgroup/a/b/memory.max", "max\n");
        tree.write("sys/fs/cgroup/a/memory.max", "600000\n");
        tree.write("sys/fs/cgroup/a/memory.current", "500000\n");
        tree.write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100000\n");
        assert_eq!(available_below(tree.path()), Some(200_000), "version 2, of a group above");
        tree.write("proc/self/cgroup", "5:cpu,memory:/c\n");
        tree.write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(available_below(tree.path()), Some(1_024_000), "version 1, no limit");
        tree.write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "4096\n");
        assert_eq!(available_below(tree.path()), Some(4_096));
    }
}
