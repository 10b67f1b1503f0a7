//! The load balancer appliance: LVS in user space, on DPDK.
//!
//! The modules, lowest first: [`dpdk`] makes DPDK safe; [`config`] reads what the operator wants; [`dataplane`] runs
//! on lcores; [`control`] starts, asks and ends it; [`report`] says what it did.

#[allow(unsafe_code, reason = "DPDK is C; this module makes it safe")]
mod dpdk;

mod cli;
mod config;
mod control;
mod dataplane;
mod health;
mod metrics;
mod report;
mod say;

use control::{director::Wishes, start};
use say::say;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
};
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// Large tables go to huge pages: a random access costs a page-table walk less.
#[global_allocator]
static ALLOCATOR: dpdk::HugeAlloc = dpdk::HugeAlloc;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    log.with_env_filter(filter).init();
    let outcome = if command.options.check { start::check(&command) } else { run(&command) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", format!("{error:#}").trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run(command: &cli::CommandLine) -> anyhow::Result<()> {
    let wishes = Wishes::default();
    // The first signal stops the director in good order; a second one, should that take too long, ends it at once.
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, wishes.stop.clone())?;
        flag::register(signal, wishes.stop.clone())?;
    }
    flag::register(SIGUSR1, wishes.status.clone())?;
    flag::register(SIGHUP, wishes.reload.clone())?;
    let director = start::start(command)?;
    say("lb-app ready\n");
    director.serve(&wishes);
    director.stop()
}
