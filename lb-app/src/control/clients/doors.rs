//! Doors to the control socket: which role a process has, by its user and groups.

use crate::{config::Control, control::api::access::Role, dpdk::peer::Peer};
use std::fmt;

/// The groups that have roles, by number.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    /// The highest role first.
    groups: Vec<(Role, u32)>,
    /// Who may come in at all, in words.
    holders: String,
}

impl Doors {
    /// As configured; `number` finds a key's group by its name.
    ///
    /// # Errors
    /// Those of `number`.
    pub(super) fn new<E>(
        control: &Control,
        number: impl Fn(&'static str, &str) -> Result<u32, E>,
    ) -> Result<Self, E> {
        let roles = [Role::Administrator, Role::Operator, Role::Reader];
        let named = roles.into_iter().filter_map(|role| Some((role, role.group(control)?)));
        let groups =
            named.map(|(role, name)| Ok((role, number(role.key(), name)?))).collect::<Result<_, E>>()?;
        Ok(Doors { groups, holders: Role::Reader.holders(control) })
    }

    /// Mode and group of the socket's file. A file has one group only: with several, anybody may connect, and who has no
    /// role is turned away.
    pub(super) fn permissions(&self) -> (u32, Option<u32>) {
        match self.groups[..] {
            [] => (0o660, None),
            [(_, group), ref others @ ..] if others.iter().all(|(_, other)| *other == group) => {
                (0o660, Some(group))
            }
            _ => (0o666, None),
        }
    }

    /// What a process may do, if anything. Of several roles it has the highest.
    pub(super) fn role(&self, peer: &Peer) -> Option<Role> {
        if peer.user == 0 {
            return Some(Role::Administrator);
        }
        let own = self.groups.iter().find(|(_, group)| peer.groups.contains(group));
        own.map(|(role, _)| *role)
    }
}

impl fmt::Display for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.holders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(group: Option<&str>, operators: Option<&str>, readers: Option<&str>) -> Doors {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let control = Control {
            group: owned(group),
            operators: owned(operators),
            readers: owned(readers),
            ..Control::default()
        };
        Doors::new(&control, |_, name| name.parse::<u32>()).unwrap()
    }

    #[test]
    fn the_highest_role_of_all_groups_counts() {
        let doors = doors(Some("10"), Some("20"), Some("30"));
        let role = |user, groups: &[u32]| doors.role(&Peer { user, groups: groups.to_vec() });
        assert_eq!(role(0, &[0]), Some(Role::Administrator));
        assert_eq!(role(1_000, &[30, 5, 20]), Some(Role::Operator));
        assert_eq!(role(1_000, &[30]), Some(Role::Reader));
        assert_eq!(role(1_000, &[10]), Some(Role::Administrator));
        assert_eq!(role(1_000, &[0, 5]), None, "root's group is nobody's role");
    }

    #[test]
    fn one_group_has_the_file_and_with_several_roles_decide() {
        assert_eq!(doors(None, None, None).permissions(), (0o660, None));
        assert_eq!(doors(None, None, Some("30")).permissions(), (0o660, Some(30)));
        assert_eq!(doors(Some("30"), None, Some("30")).permissions(), (0o660, Some(30)));
        assert_eq!(doors(Some("10"), None, Some("30")).permissions(), (0o666, None));
    }
}
