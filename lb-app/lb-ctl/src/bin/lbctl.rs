//! `lbctl`: asks and changes a running `lb-app`.

use clap::CommandFactory;
use lb_ctl::{
    cli::{self, Options, Own},
    command::{Command, help},
    completion,
    failure::Failure,
    man::{self, Section},
    session::Session,
    shell::{self, End},
    transport::Socket,
};
use signal_hook::{consts::SIGINT, flag};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let status = failure.exit_status();
            match &failure {
                // Help and version, in colour on a terminal.
                Failure::Usage(error) if !error.use_stderr() => drop(error.print()),
                Failure::Output(_) => {}
                _ => eprintln!("lbctl: {failure}"),
            }
            ExitCode::from(status)
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().collect();
    // `lbctl show ?` lists what can follow.
    if arguments.len() > 1 && arguments.last().is_some_and(|last| last == "?") {
        arguments.pop();
        return Ok(io::stdout().write_all(completion::listing(&Options::command(), &arguments).as_bytes())?);
    }
    let options = cli::parse(arguments)?;
    let interrupt = Arc::new(AtomicBool::new(false));
    // Ctrl-C ends a listing between two pages; a second one, should that take too long, ends the program.
    let set_up = || {
        flag::register_conditional_shutdown(SIGINT, 130, interrupt.clone())?;
        flag::register(SIGINT, interrupt.clone())
    };
    set_up()?;
    let mut out = io::stdout().lock();
    let session =
        || Ok::<_, Failure>(Session::new(Socket::connect(&options.socket)?, options.json, interrupt.clone()));
    if let Some(file) = &options.cmdline_file {
        session()?.load(file, false, &mut out)?;
    }
    match options.command {
        Some(Own::Shared(Command::Help { topic })) => {
            Ok(out.write_all(help::help(&topic).map_err(Failure::Wrong)?.as_bytes())?)
        }
        Some(Own::Shared(command)) => session()?.run(command, &mut out).map(drop),
        Some(Own::Ipvsadm { words }) => session()?.ipvsadm(&words, &mut io::stdin().lock(), &mut out),
        Some(Own::Completions { shell }) => Ok(out.write_all(shell.script().as_bytes())?),
        Some(Own::Complete { line }) => {
            Ok(out.write_all(completion::answer(&Options::command(), &line).as_bytes())?)
        }
        Some(Own::Man { directory }) => Ok(man::write(&Options::command(), &directory, Section::Commands)?),
        None if options.cmdline_file.is_some() => Ok(()),
        None => match shell::run(session()?, "lbctl> ", &mut out) {
            End::Quit => out.flush().map_err(Failure::Output),
            End::Failed(failure) => Err(failure),
            End::Lost(error) => Err(Failure::Call(error)),
        },
    }
}
