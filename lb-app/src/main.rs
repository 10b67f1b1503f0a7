//! The load balancer appliance: LVS in user space, on DPDK.
//!
//! The modules, lowest first: [`dpdk`] makes DPDK safe; [`config`] reads what the operator wants; [`dataplane`] runs
//! on lcores; [`health`] checks servers; [`control`] knows what runs, changes it and answers clients; [`report`] says
//! what it did, [`metrics`] says it to Prometheus; [`director`] starts all of it, serves and ends it. [`doctor`] looks
//! at the machine instead, and [`bundle`] puts everything into a file for a bug report. [`log`], [`journal`],
//! [`mod@say`] and [`systemd`] are the ways to the operator, [`cli`] is the command line.

#[allow(unsafe_code, reason = "DPDK is C; this module makes it safe")]
mod dpdk;

mod bundle;
mod cli;
mod config;
mod control;
mod dataplane;
mod director;
mod doctor;
mod health;
mod import;
mod journal;
mod log;
mod metrics;
mod report;
mod say;
mod systemd;

use control::{
    api::{Api, SetVerbosity},
    clients::shell::{self, Script},
};
use director::{serve::Wishes, start};
use say::say;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
};
use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Large tables go to huge pages: a random access costs a page-table walk less.
#[global_allocator]
static ALLOCATOR: dpdk::HugeAlloc = dpdk::HugeAlloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match cli::parse(arguments) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    match command.options.print() {
        Some(Ok(text)) => {
            say(text);
            return ExitCode::SUCCESS;
        }
        Some(Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        None => {}
    }
    if let Some(from) = command.options.import {
        return imported(import::import(from, &command.options.files));
    }
    if command.options.doctor {
        return doctor::run(&command);
    }
    if let Some(file) = &command.options.report {
        return ended(bundle::run(&command, file));
    }
    if command.options.withdraw {
        return ended(start::withdraw(&command));
    }
    let log = log::start(command.options.log_format);
    let set_verbosity = move |verbosity: u8| log.set_verbosity(verbosity);
    let outcome =
        if command.options.check { start::check(&command) } else { run(&command, Box::new(set_verbosity)) };
    ended(outcome)
}

/// Prints what was imported; the summary does not go where the configuration does.
fn imported(outcome: Result<import::Imported, String>) -> ExitCode {
    match outcome {
        Ok(import::Imported { text, summary, invalid }) => {
            say(text);
            eprintln!("lb-app: {summary}");
            let Some(report) = invalid else { return ExitCode::SUCCESS };
            eprintln!("lb-app: what was made is not valid yet:\n{}", report.trim_end());
            ExitCode::FAILURE
        }
        Err(wrong) => {
            eprintln!("lb-app: {wrong}; nothing was imported");
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, if something did.
fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", format!("{error:#}").trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run(command: &cli::CommandLine, set_verbosity: SetVerbosity) -> anyhow::Result<()> {
    let wishes = Wishes::default();
    let interrupt = Arc::new(AtomicBool::new(false));
    let on_terminal = command.options.interactive && std::io::stdin().is_terminal();
    // The first signal stops the director in good order; a second one exits at once, should that take too long.
    let ends = if on_terminal { &[SIGTERM][..] } else { &[SIGINT, SIGTERM][..] };
    for &signal in ends {
        flag::register_conditional_shutdown(signal, 1, wishes.stop.clone())?;
        flag::register(signal, wishes.stop.clone())?;
    }
    // On a shell's terminal, Ctrl-C is for what the shell does.
    flag::register(SIGINT, interrupt.clone())?;
    flag::register(SIGUSR1, wishes.status.clone())?;
    flag::register(SIGHUP, wishes.reload.clone())?;
    let terminal = shell::Terminal::keep();
    let (mut director, socket) = start::start(command)?;
    let api = Api::new(&director.plane, wishes.stop.clone(), set_verbosity);
    start::serve_metrics(&mut director, &api)?;
    let listener = socket.map(|socket| socket.serve(api.clone())).transpose()?;
    say("lb-app ready\n");
    let script =
        Script { file: command.options.cmdline_file.clone(), interactive: command.options.interactive };
    let failed = Arc::new(AtomicBool::new(false));
    shell::open(api, script, (interrupt, wishes.stop.clone(), failed.clone()))?;
    director.serve(&wishes);
    // It may also have stopped on its own.
    wishes.stop.store(true, Ordering::Relaxed);
    drop(terminal);
    if let Some(listener) = listener {
        // It removes its file.
        let _ = listener.join();
    }
    let outcome = director.stop();
    outcome?;
    anyhow::ensure!(!failed.load(Ordering::Relaxed), "a command of --cmdline-file failed");
    Ok(())
}
