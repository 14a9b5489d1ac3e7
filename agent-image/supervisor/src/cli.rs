//! The command line, defined once. What a command does stands in the module of its name.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{agent, bridge, doctor, event, hook, run, setup, state};

/// Prepares and supervises an agent's container: Claude Code and its bridges, behind stubgate.
#[derive(Debug, Parser)]
#[command(name = "stubgate-agent", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    place: agent::Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put everything in place that the client needs; safe to run again
    Setup(setup::Setup),
    /// Keep the client and its bridges alive; the container's main process
    Run(run::Run),
    /// Show the client's terminal here; Ctrl-] leaves it
    Attach(run::attach::Attach),
    /// How the client, its bridges and its credentials are
    Status(state::status::Status),
    /// What Claude Code calls at its own events
    #[command(subcommand)]
    Hook(hook::Hook),
    /// MCP servers: list, upgrade, roll back, serve, new
    #[command(subcommand)]
    Bridge(bridge::command::Bridge),
    /// Publish events to the other agents
    #[command(subcommand)]
    Event(event::Event),
    /// Look at trust, names and routes from inside the container
    Doctor(doctor::Doctor),
}

/// All that can be said on the command line, for who writes the manual.
#[must_use]
pub fn definition() -> clap::Command {
    Arguments::command()
}

/// Runs the program with the arguments of its process.
pub fn main() -> ExitCode {
    let Arguments { place, command } = Arguments::parse();
    match command {
        Command::Setup(command) => command.run(&place),
        Command::Run(command) => command.run(&place),
        Command::Attach(command) => command.run(&place),
        Command::Status(command) => command.run(&place),
        Command::Hook(command) => command.run(&place),
        Command::Bridge(command) => command.run(&place),
        Command::Event(command) => command.run(&place),
        Command::Doctor(command) => command.run(&place),
    }
}
