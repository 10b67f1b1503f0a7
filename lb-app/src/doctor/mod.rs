//! `lb-app --doctor`: what of this machine is wrong or slow for forwarding, and the command that mends it. Changes nothing.
//!
//! Every probe takes the directory that `/proc` and `/sys` are in, so that tests can make machines up.

mod cpus;
mod drivers;
mod machine;
mod ports;
#[cfg(test)]
pub(crate) mod tree;

use crate::{
    cli::CommandLine,
    config::{self, Config, Limits},
    say::say,
};
use serde::Serialize;
use std::{fmt::Write, path::Path, process::ExitCode};

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It forwards, but slower than this machine could.
    Slow,
    /// It does not start, or does not forward everything.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    subject: &'static str,
    verdict: Verdict,
    /// What was found, in a sentence.
    text: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Finding { subject, verdict: Verdict::Ok, text: text.into(), remedy: None }
    }

    fn slow(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { subject, verdict: Verdict::Slow, text: text.into(), remedy: Some(remedy.into()) }
    }

    fn wrong(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { subject, verdict: Verdict::Wrong, text: text.into(), remedy: Some(remedy.into()) }
    }
}

/// What is going to run, as far as the command line tells.
struct Patient<'a> {
    /// EAL's arguments.
    eal: &'a [String],
    /// The CPUs of its lcores, the main one first.
    cpus: Vec<usize>,
    config: Option<Config>,
}

impl Patient<'_> {
    fn wants_hugepages(&self) -> bool {
        !self.eal.iter().any(|argument| argument == "--no-huge")
    }

    fn workers(&self) -> usize {
        self.cpus.len().saturating_sub(1).max(1)
    }
}

/// Looks at everything and says it. Fails if something is wrong.
pub(crate) fn run(command: &CommandLine) -> ExitCode {
    let root = Path::new("/");
    let cpus = cpus::of_lcores(&command.eal, root);
    let mut patient = Patient { eal: &command.eal, cpus, config: None };
    let mut findings = Vec::new();
    if let Some(conf) = command.options.conf_if_any() {
        let limits = Limits { workers: patient.workers(), available_bytes: u64::MAX };
        match config::load(conf, limits) {
            Ok(config) => {
                findings.push(Finding::ok("configuration", format!("{} is sound", conf.display())));
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
    findings.extend(drivers::look(&patient, &ports::cards_of(&patient, root)));
    say(if command.options.json { json(&findings) } else { text(&findings) });
    let is_wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
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
            let _ = writeln!(text, "{:<21} mend: {remedy}", "");
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (slow, wrong) = (count(Verdict::Slow), count(Verdict::Wrong));
    let _ = writeln!(text, "{wrong} wrong, {slow} slow, {} ok", findings.len() - wrong - slow);
    text
}

/// A file's text without blanks around it.
fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned())
}

/// A file's number.
fn number(root: &Path, path: &str) -> Option<u64> {
    read(root, path)?.parse().ok()
}

/// The names in a directory, in order.
fn names(root: &Path, path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(path)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
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
             wrong  queues         too few\n                      mend: add qpairs=2 to the device\n\
             1 wrong, 0 slow, 1 ok\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).unwrap();
        assert_eq!(json["findings"][1]["verdict"], "wrong");
        assert_eq!(json["findings"][0].get("remedy"), None);
    }
}
