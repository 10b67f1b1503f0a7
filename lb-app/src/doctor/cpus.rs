//! CPUs: which ones the lcores are on, whether they are left alone, how much of them there is.

use super::{
    files::{names, number, read},
    finding::Finding,
    patient::Patient,
};
use std::path::Path;

/// The CPUs of the lcores that EAL's arguments name, the main lcore's first. Without such arguments EAL takes all.
pub(super) fn of_lcores(eal: &[String], root: &Path) -> Vec<usize> {
    let value = |names: &[&str]| {
        eal.iter().enumerate().find_map(|(at, argument)| {
            names.iter().find_map(|name| match argument.strip_prefix(name)? {
                "" => eal.get(at + 1).cloned(),
                rest => rest.strip_prefix('=').or(Some(rest)).map(str::to_owned),
            })
        })
    };
    if let Some(list) = value(&["--lcores"]) {
        return lcores(&list);
    }
    match value(&["-l"]) {
        Some(list) => self::list(&list),
        None => allowed(root),
    }
}

/// `0-2,5` as numbers. An invalid list is empty: EAL reports it.
pub(super) fn list(text: &str) -> Vec<usize> {
    let range = |part: &str| -> Option<Vec<usize>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (to.checked_sub(from)? < 4_096).then(|| (from..=to).collect())
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// EAL's `--lcores`: `0@3`, `(0-2)@4`, `1@(5-6)` or a plain list. The first CPU of each set counts.
fn lcores(text: &str) -> Vec<usize> {
    let mut cpus = Vec::new();
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    for part in parts {
        let plain = |set: &str| list(set.trim_matches(['(', ')']));
        match part.split_once('@') {
            Some((lcores, set)) => {
                let cpu = plain(set).first().copied();
                cpus.extend(plain(lcores).iter().filter_map(|_| cpu));
            }
            None => cpus.extend(plain(part)),
        }
    }
    cpus
}

/// The CPUs that this process may use.
fn allowed(root: &Path) -> Vec<usize> {
    let status = read(root, "proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.map(|cpus| list(cpus.trim())).unwrap_or_default()
}

fn join(cpus: &[usize]) -> String {
    let words: Vec<String> = cpus.iter().map(ToString::to_string).collect();
    words.join(",")
}

/// The NUMA node of a CPU.
pub(super) fn node_of(root: &Path, cpu: usize) -> Option<u64> {
    let nodes = names(root, "sys/devices/system/node").into_iter();
    let mut numbers = nodes.filter_map(|name| name.strip_prefix("node")?.parse::<u64>().ok());
    numbers.find(|node| {
        let cpus = read(root, &format!("sys/devices/system/node/node{node}/cpulist"));
        cpus.is_some_and(|cpus| list(&cpus).contains(&cpu))
    })
}

/// Everything about CPUs.
pub(super) fn look(patient: &Patient<'_>, root: &Path) -> Vec<Finding> {
    let mut findings = vec![lcores_found(patient, root)];
    findings.extend(isolation(patient, root));
    findings.push(share(patient, root));
    findings.push(clock(root));
    findings
}

fn lcores_found(patient: &Patient<'_>, root: &Path) -> Finding {
    let allowed = allowed(root);
    let missing: Vec<usize> =
        patient.cpus.iter().copied().filter(|cpu| !allowed.is_empty() && !allowed.contains(cpu)).collect();
    let mut distinct = patient.cpus.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if !missing.is_empty() {
        let text = format!("lcores use CPU {}, which this process is not allowed to use", join(&missing));
        return Finding::wrong("lcores", text, format!("lb-app -l {} ...", join(&allowed)));
    }
    if patient.cpus.len() < 2 {
        let text = "one lcore: the first is for control, so there is no worker";
        return Finding::wrong("lcores", text, "lb-app -l 0,1 ...");
    }
    if distinct.len() < patient.cpus.len() {
        let text = format!("{} lcores share {} CPUs", patient.cpus.len(), distinct.len());
        return Finding::slow("lcores", text, "lb-app -l 0-N ..., with a CPU for each");
    }
    Finding::ok("lcores", format!("{} workers, on CPU {}", patient.workers(), join(&patient.cpus[1..])))
}

/// Nothing else should run on the CPUs of workers, the kernel's ticks included.
fn isolation(patient: &Patient<'_>, root: &Path) -> Option<Finding> {
    let workers = patient.cpus.get(1..).filter(|workers| !workers.is_empty())?;
    let listed =
        |file: &str| list(&read(root, &format!("sys/devices/system/cpu/{file}")).unwrap_or_default());
    let (isolated, without_ticks) = (listed("isolated"), listed("nohz_full"));
    let outside =
        |set: &[usize]| workers.iter().copied().filter(|cpu| !set.contains(cpu)).collect::<Vec<_>>();
    let (shared, ticking) = (outside(&isolated), outside(&without_ticks));
    if shared.is_empty() && ticking.is_empty() {
        return Some(Finding::ok("isolation", "the workers' CPUs are isolated and tickless"));
    }
    let what = match (shared.is_empty(), ticking.is_empty()) {
        (false, _) => format!("other programs can run on the workers' CPU {}", join(&shared)),
        (true, _) => format!("kernel ticks interrupt the workers' CPU {}", join(&ticking)),
    };
    let cpus = join(workers);
    let remedy =
        format!("add to the kernel's command line: isolcpus={cpus} nohz_full={cpus} rcu_nocbs={cpus}");
    Some(Finding::slow("isolation", what, remedy))
}

/// What control groups leave of the CPUs.
fn share(patient: &Patient<'_>, root: &Path) -> Finding {
    let groups = read(root, "proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let mut least: Option<(u64, String)> = None;
    for group in Path::new(group).ancestors() {
        let path = Path::new("sys/fs/cgroup").join(group).join("cpu.max");
        let Some(max) = read(root, &path.display().to_string()) else { continue };
        let mut words = max.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(quota)), Some(Ok(period))) = (words.next(), words.next()) {
            let percent = quota * 100 / period.max(1);
            if least.as_ref().is_none_or(|(least, _)| percent < *least) {
                least = Some((percent, format!("/{}", path.display())));
            }
        }
    }
    let version_1 = number(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        .zip(number(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us"))
        .map(|(quota, period)| {
            (quota * 100 / period.max(1), "/sys/fs/cgroup/cpu/cpu.cfs_quota_us".to_owned())
        });
    let wanted = patient.cpus.len() as u64 * 100;
    match least.or(version_1) {
        Some((percent, file)) if percent < wanted => Finding::slow(
            "cpu share",
            format!("a control group allows {percent} % of a CPU, and the lcores need {wanted} %"),
            format!("echo max > {file}, or poll less: [workers] idle = \"adaptive\""),
        ),
        _ => Finding::ok("cpu share", "no control group limits the lcores"),
    }
}

/// Time is read for every burst, from the time stamp counter.
fn clock(root: &Path) -> Finding {
    let cpuinfo = read(root, "proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let source = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    let current = read(root, source).unwrap_or_default();
    // Other CPUs than x86 have no such flags, and their counter is constant by definition.
    if !flags.is_empty() && !has("constant_tsc") {
        let text = "the CPU's time stamp counter is not constant, so timeouts can be wrong";
        return Finding::wrong("clock", text, "fix the frequency: cpupower frequency-set -g performance");
    }
    if has("constant_tsc") && current != "tsc" {
        let text = format!("the kernel uses {current} instead of the time stamp counter");
        return Finding::slow("clock", text, format!("echo tsc > /{source}"));
    }
    Finding::ok("clock", "the time stamp counter is constant, and the kernel uses it")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::Verdict, tree::Tree},
        *,
    };

    fn eal(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn patient(eal: &[String], root: &Path) -> Vec<Finding> {
        let cpus = of_lcores(eal, root);
        look(&Patient { eal, cpus, config: None }, root)
    }

    #[test]
    fn lcores_have_cpus() {
        let tree = Tree::new(&[("proc/self/status", "Cpus_allowed_list:\t0-3\n")]);
        let cpus = |line: &str| of_lcores(&eal(line), tree.path());
        assert_eq!(cpus("-l 0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cpus("-l0,3 --no-huge"), [0, 3]);
        assert_eq!(cpus("--lcores (0-2)@4"), [4, 4, 4]);
        assert_eq!(cpus("--lcores=0@1,1@(2-3),5"), [1, 2, 5]);
        assert_eq!(cpus("--no-huge"), [0, 1, 2, 3]);
        assert_eq!(cpus("-l x"), [] as [usize; 0]);
    }

    #[test]
    fn cpus_are_looked_at() {
        let tree = Tree::new(&[
            ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("proc/cpuinfo", "flags\t\t: fpu constant_tsc nonstop_tsc\n"),
            ("proc/self/cgroup", "0::/lb\n"),
            ("sys/devices/system/cpu/isolated", "1-3\n"),
            ("sys/devices/system/cpu/nohz_full", "1-3\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ]);
        let look = |line: &str| patient(&eal(line), tree.path());
        let verdicts = |line: &str| look(line).into_iter().map(|finding| finding.verdict).collect::<Vec<_>>();
        use Verdict::{Ok, Slow, Wrong};
        assert_eq!(verdicts("-l 0-2"), [Ok, Ok, Ok, Ok]);
        assert_eq!(verdicts("-l 0,4")[0], Wrong);
        assert_eq!(verdicts("-l 0"), [Wrong, Ok, Ok]);
        assert_eq!(verdicts("--lcores (0-2)@1")[0], Slow);
        tree.write("sys/fs/cgroup/lb/cpu.max", "150000 100000\n");
        tree.write("sys/devices/system/cpu/isolated", "\n");
        tree.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
        let findings = look("-l 0-2");
        assert_eq!(
            findings[1].remedy.as_deref(),
            Some("add to the kernel's command line: isolcpus=1,2 nohz_full=1,2 rcu_nocbs=1,2")
        );
        assert_eq!(findings[2].text, "a control group allows 150 % of a CPU, and the lcores need 300 %");
        assert_eq!(findings[3].verdict, Slow);
        tree.write("proc/cpuinfo", "flags : fpu\n");
        assert_eq!(look("-l 0-2")[3].verdict, Wrong);
    }
}
