//! The commands, one file each.

mod check;
mod delta;
mod demo;
mod events;
mod flash;
mod host;
mod inspect;
mod key;
mod keygen;
mod node;
mod nodes;
mod provision;
mod publish;
mod release;
mod releases;
mod rollout;
mod serve;
mod sign;
mod simulate;
mod token;
mod trigger;
mod webhook;

use crate::error::Error;
use crate::output::Output;
use clap::Subcommand;
use std::path::PathBuf;

/// Every command; its help is the doc comment of its arguments.
#[derive(Subcommand)]
pub enum Command {
    Demo(demo::Demo),
    Inspect(inspect::Inspect),
    Keygen(keygen::Keygen),
    Key(key::Key),
    Sign(sign::Sign),
    Provision(Box<provision::Provision>),
    Release(release::Release),
    Delta(delta::Delta),
    Flash(flash::Flash),
    Node(Box<node::NodeArguments>),
    Simulate(simulate::Simulate),
    Publish(publish::Publish),
    Host(Box<host::Host>),
    Check(Box<check::Check>),
    Trigger(Box<trigger::TriggerArguments>),
    Serve(Box<serve::Serve>),
    Nodes(nodes::Nodes),
    Releases(releases::Releases),
    Rollout(Box<rollout::RolloutCommand>),
    Events(events::Events),
    Token(token::Token),
    Webhook(webhook::Webhook),
}

impl Command {
    /// The file that has its settings, if it has one.
    pub fn configuration(&self) -> Option<PathBuf> {
        match self {
            Self::Serve(serve) => serve.configuration(),
            _ => None,
        }
    }

    /// Does what was asked.
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        match self {
            Self::Demo(command) => command.run(output),
            Self::Inspect(command) => command.run(output),
            Self::Keygen(command) => command.run(output),
            Self::Key(command) => command.run(output),
            Self::Sign(command) => command.run(output),
            Self::Provision(command) => command.run(output),
            Self::Release(command) => command.run(output),
            Self::Delta(command) => command.run(output),
            Self::Flash(command) => command.run(output),
            Self::Node(command) => command.run(output),
            Self::Simulate(command) => command.run(output),
            Self::Publish(command) => command.run(output),
            Self::Host(command) => command.run(output),
            Self::Check(command) => command.run(output),
            Self::Trigger(command) => command.run(output),
            Self::Serve(command) => command.run(output),
            Self::Nodes(command) => command.run(output),
            Self::Releases(command) => command.run(output),
            Self::Rollout(command) => command.run(output),
            Self::Events(command) => command.run(output),
            Self::Token(command) => command.run(output),
            Self::Webhook(command) => command.run(output),
        }
    }
}
