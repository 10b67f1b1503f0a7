//! Which file of a configuration says what, and what it is to say: for `save`.

use super::rewrite::{Counts, RewriteError, counts};
use crate::config::source::Sources;
use lb_core::service::plan::{Plan, RoutePlan, ServicePlan, SnatPlan, VipPlan};
use std::{collections::HashMap, hash::Hash};

/// What one file says of a plan.
pub(super) struct Share {
    /// What it says, with timeouts and whatever else is not in lists as all files together say it.
    pub(super) said: Plan,
    /// What it is to say.
    pub(super) wanted: Plan,
    /// It has the table of timeouts.
    pub(super) has_timeouts: bool,
}

/// The share of each file: what it has stays in it, and what is new goes to the first.
pub(super) fn shares(sources: &Sources, said: &Plan, wanted: &Plan) -> Result<Vec<Share>, RewriteError> {
    let counts = sources.files().iter().map(|source| counts(&source.text));
    let counts: Vec<Counts> = counts.collect::<Result<_, _>>()?;
    let by = |of: fn(&Counts) -> usize| counts.iter().map(of).collect::<Vec<_>>();
    let routes: Vec<_> =
        split((&said.routes, &wanted.routes), &by(|counts| counts.routes), |route: &RoutePlan| route.to);
    let services = split((&said.services, &wanted.services), &by(|counts| counts.services), ServicePlan::key);
    let vips = split((&said.vips, &wanted.vips), &by(|counts| counts.vips), |vip: &VipPlan| vip.address);
    let snat =
        split((&said.snat, &wanted.snat), &by(|counts| counts.snat), |rule: &SnatPlan| rule.name.clone());
    let lists = counts.iter().zip(routes).zip(services).zip(vips).zip(snat);
    let shares = lists.map(|((((counts, routes), services), vips), snat)| Share {
        said: Plan { routes: routes.0, services: services.0, vips: vips.0, snat: snat.0, ..said.clone() },
        wanted: Plan { routes: routes.1, services: services.1, vips: vips.1, snat: snat.1, ..wanted.clone() },
        has_timeouts: counts.has_timeouts,
    });
    Ok(shares.collect())
}

/// The plan in the order in which the files say it.
pub(super) fn whole(plan: &Plan, shares: &[Share]) -> Plan {
    Plan {
        routes: shares.iter().flat_map(|share| share.wanted.routes.clone()).collect(),
        services: shares.iter().flat_map(|share| share.wanted.services.clone()).collect(),
        vips: shares.iter().flat_map(|share| share.wanted.vips.clone()).collect(),
        snat: shares.iter().flat_map(|share| share.wanted.snat.clone()).collect(),
        ..plan.clone()
    }
}

/// What each file has of a list, and what it is to have.
fn split<T: Clone, K: Hash + Eq>(
    (said, wanted): (&[T], &[T]),
    counts: &[usize],
    key: impl Fn(&T) -> K,
) -> Vec<(Vec<T>, Vec<T>)> {
    let mut rest = said;
    let mut shares: Vec<(Vec<T>, Vec<T>)> = Vec::with_capacity(counts.len());
    let mut file_of = HashMap::new();
    for (file, &count) in counts.iter().enumerate() {
        let (own, others) = rest.split_at(count.min(rest.len()));
        file_of.extend(own.iter().map(|thing| (key(thing), file)));
        shares.push((own.to_vec(), Vec::new()));
        rest = others;
    }
    for thing in wanted {
        let file = file_of.get(&key(thing)).copied().unwrap_or(0);
        if let Some((_, wanted)) = shares.get_mut(file) {
            wanted.push(thing.clone());
        }
    }
    shares
}
