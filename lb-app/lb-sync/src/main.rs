//! `lb-sync`: a configuration file of `lb-app` says what etcd says.
//!
//! * `etcd`: what the cluster has, by its JSON interface.
//! * `tls`: whom to trust, and who this is.
//! * `file`: what etcd has is validated, and takes the file's place in one step.
//!
//! Every round compares all of it, so nothing depends on notices that may be lost. `lb-app` watches the file itself
//! (`watch` in `[config]`) and notices nothing of etcd.

mod etcd;
mod file;
mod tls;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use etcd::{Etcd, Value};
use file::{Outcome, Target};
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

/// Brings the configuration of lb-app from etcd
///
/// The values of one or several keys, one after the other, are validated by lb-app and take the place of a file in one
/// step. While etcd does not answer, has no such key, or has a configuration with mistakes, the file stays as it is. What
/// is changed in the file itself is undone: change it in etcd. lb-app takes the file into effect with `watch = true` in
/// `[config]`.
///
/// Options may be given by the environment: LB_SYNC_CERT_KEY is --cert-key, and so on.
#[derive(Debug, Parser)]
#[command(name = "lb-sync", version = lb_ctl::version::VERSION)]
struct CommandLine {
    /// Members of the cluster, as in http://10.0.0.1:2379; with commas between them
    #[arg(
        long,
        env = "LB_SYNC_ENDPOINTS",
        value_name = "URL,...",
        value_delimiter = ',',
        required_unless_present = "man"
    )]
    endpoints: Vec<hyper::Uri>,
    /// Keys whose values make up the file, in this order; with commas between them. Each value begins with a table
    #[arg(
        long,
        env = "LB_SYNC_KEYS",
        value_name = "KEY,...",
        value_delimiter = ',',
        default_value = "/lb/lb.toml"
    )]
    keys: Vec<String>,
    /// The file
    #[arg(long, env = "LB_SYNC_FILE", default_value = "/etc/lb/lb.toml")]
    file: PathBuf,
    /// Seconds between two looks
    #[arg(long, env = "LB_SYNC_INTERVAL", value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// The program that validates the file: `PROGRAM -- --check --conf FILE`
    #[arg(long, env = "LB_SYNC_CHECK", value_name = "PROGRAM", default_value = "lb-app")]
    check: PathBuf,
    /// With https: certificates of authorities that are trusted, instead of the host's
    #[arg(long, env = "LB_SYNC_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With https: the certificate that etcd is shown
    #[arg(long, env = "LB_SYNC_CERT", value_name = "FILE", requires = "cert_key")]
    cert: Option<PathBuf>,
    /// The private key of that certificate
    #[arg(long, env = "LB_SYNC_CERT_KEY", value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,
    /// Look once, and end with 0 if the file says what etcd says, else with 1
    #[arg(long)]
    once: bool,
    /// Write lb-sync(8) into this folder, and exit
    #[arg(long, value_name = "FOLDER")]
    man: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = CommandLine::parse();
    match run(&command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("lb-sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &CommandLine) -> Result<ExitCode> {
    if let Some(folder) = &command.man {
        lb_ctl::man::write(&CommandLine::command(), folder, lb_ctl::man::Section::Daemon)?;
        return Ok(ExitCode::SUCCESS);
    }
    let needs_tls = command.endpoints.iter().any(|endpoint| endpoint.scheme_str() == Some("https"));
    let identity = command.cert.as_deref().zip(command.cert_key.as_deref());
    let tls = needs_tls.then(|| tls::config(command.ca.as_deref(), identity)).transpose()?.map(Arc::new);
    let mut etcd = Etcd::new(&command.endpoints, &command.keys, tls)?;
    let mut target = Target::new(&command.file, &command.check);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut before = None;
        loop {
            let now = look(&mut etcd, &mut target).await;
            if before.as_ref() != Some(&now) {
                println!("{}", now.said(command));
            }
            if command.once {
                let is_good = matches!(now, State::Current { .. });
                return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            before = Some(now);
            tokio::time::sleep(Duration::from_secs(command.interval)).await;
        }
    })
}

/// How things stand. What is the same as before is not said again.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Unreachable(String),
    Missing(String),
    Refused {
        revision: u64,
        report: String,
    },
    /// The file could not be written, or not be validated.
    Stuck(String),
    Current {
        revision: u64,
    },
}

async fn look(etcd: &mut Etcd, target: &mut Target) -> State {
    let (text, revision) = match etcd.read().await {
        Ok(Value::Found { text, revision }) => (text, revision),
        Ok(Value::Missing(key)) => return State::Missing(key),
        Err(why) => return State::Unreachable(why),
    };
    match target.put(&text).await {
        Ok(Outcome::Current) => State::Current { revision },
        Ok(Outcome::Refused(report)) => State::Refused { revision, report },
        Err(error) => State::Stuck(format!("{error:#}")),
    }
}

impl State {
    fn said(&self, command: &CommandLine) -> String {
        let file = command.file.display();
        match self {
            State::Unreachable(why) => format!("etcd does not answer: {why}; {file} stays as it is"),
            State::Missing(key) => format!("etcd has no key {key}; {file} stays as it is"),
            State::Refused { revision, report } => {
                format!("revision {revision} has mistakes; {file} stays as it is:\n{}", report.trim_end())
            }
            State::Stuck(why) => format!("{file} stays as it is: {why}"),
            State::Current { revision } => format!("{file} says what revision {revision} says"),
        }
    }
}
