//! The command line: reads arguments and environment, asks the service, prints. The only room that prints and reads the
//! environment. Exit codes are a contract; see [`exit::Exit`].

mod agent;
pub mod arguments;
mod can;
pub mod commands;
mod decide;
pub mod demo;
mod doctor;
mod events;
pub mod exit;
mod import;
pub mod init;
pub mod output;
mod reach;
mod serve;
mod steer;
mod submit;
pub mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::service::Environment;
use arguments::{Arguments, Colour};
use exit::{Exit, Failure};
use output::Output;

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let output = Output::new(
        arguments.output,
        colour(arguments.color, &std::io::stdout()),
        colour(arguments.color, &std::io::stderr()),
    );
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&output, &Failure::error(format!("cannot start: {error}"))),
    };
    match runtime.block_on(commands::run(arguments, &output)) {
        Ok(exit) => exit.into(),
        Err(failure) => report(&output, &failure),
    }
}

/// Help, the version, or what is wrong with the arguments. clap itself would end with 2, which here says that a plan waits.
fn usage(error: &clap::Error) -> ExitCode {
    let exit = if error.use_stderr() {
        Exit::Error
    } else {
        Exit::Success
    };
    // Whoever closed the terminal does not read it either way.
    let _ = error.print();
    exit.into()
}

fn report(output: &Output, failure: &Failure) -> ExitCode {
    output.failure(failure);
    failure.exit.into()
}

fn colour(wish: Colour, to: &impl IsTerminal) -> bool {
    match wish {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// The process's own environment and clock.
pub fn environment() -> Environment {
    Environment {
        variable: Arc::new(|name| std::env::var(name).ok()),
        clock: Arc::new(jiff::Timestamp::now),
    }
}

/// The exit code a finished command ends with.
pub type Ended = Result<Exit, Failure>;
