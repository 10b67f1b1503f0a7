//! `lb-app --doctor`: what is wrong or slow on this host, and the command that fixes it. Changes nothing.
//!
//! Every probe takes the directory that contains `/proc` and `/sys`, so that tests can fake a host.

mod cpus;
mod drivers;
mod files;
mod finding;
mod host;
mod interface;
mod machine;
mod patient;
mod ports;
mod routes;
#[cfg(test)]
pub(crate) mod tree;

use crate::{
    cli::CommandLine,
    config::{self, Limits},
    health::caution::cautions,
    say::say,
};
use finding::{Finding, Verdict};
use lb_core::service::plan::Role;
use nix::net::if_::if_nametoindex;
use patient::Patient;
use std::{fmt::Write, path::Path, process::ExitCode};

/// Looks at everything and says it. Fails if something is wrong.
pub(crate) fn run(command: &CommandLine) -> ExitCode {
    let findings = examine(command);
    say(if command.options.json { json(&findings) } else { text(&findings) });
    let is_wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Looks at everything; what would be said.
pub(crate) fn text_for(command: &CommandLine) -> String {
    text(&examine(command))
}

fn examine(command: &CommandLine) -> Vec<Finding> {
    let root = Path::new("/");
    let cpus = cpus::of_lcores(&command.eal, root);
    let mut patient = Patient { eal: &command.eal, cpus, config: None };
    let mut findings = Vec::new();
    if let Some(conf) = command.options.conf_if_any() {
        let limits = Limits { workers: patient.workers(), available_bytes: u64::MAX };
        match config::load(conf, limits) {
            Ok(config) => {
                findings.push(Finding::ok("configuration", format!("{} is valid", conf.display())));
                let role = match config.plan.director.role {
                    Role::Active => None,
                    Role::Standby => Some(
                        "the director starts on standby and says nothing for its VIPs until it is made active",
                    ),
                    Role::Follow => Some(
                        "the director is active for VIPs that the kernel has on a host side, and on standby for the others",
                    ),
                };
                findings.extend(role.map(|text| Finding::ok("role", text)));
                findings.extend(announce(&config));
                findings.extend(announced_on(&config));
                findings.extend(sync(&config));
                findings.extend(host_sides(&config, root));
                patient.config = Some(config);
            }
            Err(report) => findings.push(Finding::wrong(
                "configuration",
                report.to_string().trim_end().to_owned(),
                format!("lb-app --check --conf {}", conf.display()),
            )),
        }
    }
    findings.extend(machine::look(&patient, root));
    findings.extend(cpus::look(&patient, root));
    findings.extend(ports::look(&patient, root));
    findings.extend(host::look(&patient, root));
    findings.extend(checks(&patient));
    findings.extend(drivers::look(&patient, &ports::cards_of(&patient, root)));
    findings
}

/// Whether ports can have their host sides.
fn host_sides(config: &config::Config, root: &Path) -> Option<Finding> {
    let names: Vec<&str> = config.devices.iter().filter_map(|device| device.host.as_deref()).collect();
    let taken = names.iter().find(|name| root.join("sys/class/net").join(name).exists());
    if names.is_empty() {
        return None;
    }
    Some(if !root.join("dev/net/tun").exists() {
        Finding::wrong(
            "host side",
            "there is no /dev/net/tun, which host sides of ports are made of",
            "modprobe tun",
        )
    } else if let Some(name) = taken {
        let text =
            format!("there is an interface {name} already: that of a running lb-app, or somebody else's");
        Finding::wrong("host side", text, format!("ip link show {name}"))
    } else {
        Finding::ok("host side", format!("the kernel gets {}", names.join(", ")))
    })
}

/// Whether what is announced can be written where it is to be.
fn announce(config: &config::Config) -> Option<Finding> {
    let file = config.announce.file.as_deref()?;
    let folder = Path::new(file).parent().unwrap_or(Path::new("/"));
    Some(match folder.is_dir() {
        true => Finding::ok("announce", format!("VIPs that may be announced will be in {file}")),
        false => {
            let text = format!("the folder of the file of [announce] does not exist: {}", folder.display());
            Finding::wrong("announce", text, format!("mkdir -p {}", folder.display()))
        }
    })
}

/// Whether the kernel has the interface that is to have VIPs.
fn announced_on(config: &config::Config) -> Option<Finding> {
    let name = config.announce.interface.as_deref()?;
    Some(match if_nametoindex(name) {
        Ok(_) => Finding::ok("announce", format!("VIPs that may be announced will be on interface {name}")),
        Err(_) => {
            let text = format!("there is no interface {name}, which [announce] has VIPs on");
            Finding::wrong(
                "announce",
                text,
                format!("ip link add {name} type dummy && ip link set {name} up"),
            )
        }
    })
}

/// Whether the key that peers have can be used.
fn sync(config: &config::Config) -> Option<Finding> {
    let (sync, path) = (&config.sync, config.sync.key_file.as_deref().unwrap_or_default());
    if !sync.is_on() {
        return None;
    }
    Some(match sync.seal() {
        Err(why) => Finding::wrong("sync", why, format!("ls -l {path}")),
        Ok(_) if sync.key_is_open() => Finding::wrong(
            "sync",
            format!("everybody on this host can read {path}"),
            format!("chmod 600 {path}"),
        ),
        Ok(_) => Finding::ok("sync", format!("{} peers, the key is in {path}", sync.peers.len())),
    })
}

/// Health checks that may not work from here.
fn checks(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(config) = &patient.config else { return Vec::new() };
    let cautions = cautions(&config.health, &config.plan);
    cautions.into_iter().map(|caution| Finding::wrong("checks", caution.text, caution.remedy)).collect()
}

fn json(findings: &[Finding]) -> String {
    let mut text = serde_json::to_string_pretty(&serde_json::json!({ "version": 1, "findings": findings }))
        .unwrap_or_default();
    text.push('\n');
    text
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Slow => "slow",
            Verdict::Wrong => "wrong",
        };
        let _ = writeln!(text, "{verdict:<6} {:<14} {}", finding.subject, finding.text);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "{:<21} fix: {remedy}", "");
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (slow, wrong) = (count(Verdict::Slow), count(Verdict::Wrong));
    let _ = writeln!(text, "{wrong} wrong, {slow} slow, {} ok", findings.len() - wrong - slow);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told() {
        let findings =
            [Finding::ok("clock", "tsc"), Finding::wrong("queues", "too few", "add qpairs=2 to the device")];
        assert_eq!(
            text(&findings),
            "ok     clock          tsc\n\
             wrong  queues         too few\n                      fix: add qpairs=2 to the device\n\
             1 wrong, 0 slow, 1 ok\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).unwrap();
        assert_eq!(json["findings"][1]["verdict"], "wrong");
        assert_eq!(json["findings"][0].get("remedy"), None);
    }
}
