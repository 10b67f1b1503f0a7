//! What the kernel lets this process do, as capabilities(7) has it.

use std::fs;

/// The numbers of those that matter here.
pub(crate) const KILL: u8 = 5;
pub(crate) const SETGID: u8 = 6;
pub(crate) const SETUID: u8 = 7;
pub(crate) const NET_ADMIN: u8 = 12;
pub(crate) const SYS_ADMIN: u8 = 21;

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// All of them.
    pub(crate) const ALL: Self = Capabilities(u64::MAX);

    /// Those that this process has; all of them where that cannot be found out, which is not held against anybody.
    pub(crate) fn effective() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::in_status(&status).unwrap_or(Self::ALL)
    }

    /// Those that a process has, by its `/proc/PID/status`.
    pub(crate) fn in_status(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Capabilities)
    }

    /// Whether a capability is among them.
    pub(crate) const fn contains(self, capability: u8) -> bool {
        self.0 >> capability & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits() {
        let some = Capabilities::in_status("Name:\tx\nCapEff:\t00000000000010a0\nCapBnd:\tff\n").unwrap();
        for (capability, has) in
            [(KILL, true), (SETUID, true), (NET_ADMIN, true), (SETGID, false), (SYS_ADMIN, false)]
        {
            assert_eq!(some.contains(capability), has, "{capability}");
        }
        assert_eq!(Capabilities::in_status("Name:\tx\n"), None);
    }
}
