//! The one binary, `rootcast`: arguments, progress, tables. What things mean is decided in the libraries.
//!
//! | module | what it does |
//! |---|---|
//! | [`command`] | one file a command: its arguments, its help, what it calls |
//! | [`arguments`] | readers of arguments that several commands take |
//! | [`check`] | what nodes will see at a URL: arguments and output |
//! | [`client`] | a client of the control plane's REST API |
//! | [`demo`] | a whole installation in this process |
//! | [`output`] | what a command prints: lines for people, or with `--json` one object a line |
//! | [`error`] | why a command failed, what to do about it, and the exit status |
//! | [`files`] | reading with a limit, writing whole files or none |
//! | [`inspect`] | what is in a file, by its content |
//! | [`log`] | what an operator has to know of a command that runs on by itself |
//! | [`provision`] | where secrets come from, and the lines that flash a board |
//! | [`release`] | signed releases: images and keys as they are given, the folder, the check |
//! | [`mqtt`] | a client of the operator's broker |
//! | [`watch`] | an update followed node by node: picture, lines, JSON |
//!
//! A new command is a file in `command/` and a line in [`command::Command`].

mod arguments;
mod check;
mod client;
mod command;
mod configuration;
mod demo;
mod error;
mod files;
mod inspect;
mod log;
mod mqtt;
mod output;
mod provision;
mod release;
mod size;
mod watch;

use clap::Parser;
use output::Output;
use std::process::ExitCode;

/// Updates every node of an ESP32 mesh over the air
#[derive(Parser)]
#[command(
    name = "rootcast",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done as asked, 1 the operation failed, 2 wrong usage or configuration."
)]
struct Arguments {
    #[command(subcommand)]
    command: command::Command,

    /// Print JSON for machines: one object a line, the last one the result
    #[arg(long, global = true)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut output = Output::new(arguments.json);
    let configured = match arguments.command.configuration() {
        Some(path) => configuration::parse_with(&path),
        None => Ok(arguments),
    };
    match configured.and_then(|arguments| arguments.command.run(&mut output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(error.exit_status())
        }
    }
}
