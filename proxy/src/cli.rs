//! The command line. One definition gives the parser, the help, man pages and completions (`deploy/manual`).

mod attack;
mod audit;
mod ca;
mod check;
mod credential;
mod doctor;
mod login;
mod moment;
mod nft;
mod policy;
mod records;
mod run;
mod sandbox;
pub(crate) mod say;
mod stub;
mod support_bundle;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::programs;

/// The egress credential firewall for containers that run AI agents.
///
/// stubgate is an agent's DNS server and its only way out. It allows what policy names, denies the rest, and swaps
/// worthless stubs for real credentials at the boundary.
#[derive(Debug, Parser)]
#[command(name = "stubgate", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job on loopback; nothing to configure, no root, no network
    Demo,
    /// Run the appliance
    #[command(after_help = RUN_NOTES)]
    Run {
        /// Configuration of the appliance, YAML
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Work on policy files
    #[command(subcommand)]
    Policy(policy::Command),
    /// Work on the appliance's configuration
    #[command(subcommand)]
    Config(Config),
    /// Work on the certificate authority that agents must trust
    #[command(subcommand)]
    Ca(Ca),
    /// Put an OAuth login in escrow, so that stubgate alone holds and refreshes it
    #[command(after_help = login::NOTES)]
    Login(login::Login),
    /// Make stubs that one agent can use and nobody else, and call them back
    #[command(subcommand)]
    Stub(stub::Stub),
    /// Read audit records
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Say how credentials stand, and try one
    #[command(subcommand)]
    Credential(credential::Credential),
    /// Print nftables rules that leave the containers of a bridge no way but stubgate
    #[command(after_help = nft::NOTES)]
    Nft(nft::Nft),
    /// Try the ways out of the container that this runs in, and say which are open
    #[command(after_help = attack::NOTES)]
    Attack(Box<attack::Attack>),
    /// Say what of the appliance's set-up works and what does not: files, kernel, resolvers, hosts, clock, listeners
    #[command(after_help = doctor::NOTES)]
    Doctor(doctor::Doctor),
    /// Gather what somebody elsewhere needs to see what is wrong, without a secret
    #[command(after_help = support_bundle::NOTES)]
    SupportBundle(support_bundle::SupportBundle),
    /// Run a command that reaches nothing but what policy allows
    #[command(after_help = sandbox::NOTES)]
    Sandbox(Box<sandbox::Sandbox>),
    #[command(name = programs::HELPER, hide = true)]
    RunPrograms,
    #[command(name = programs::STEP, hide = true)]
    RunProgram {
        helper: u32,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Check a stubgate.yaml: every error at once, with its place and what to write instead
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Ca {
    /// Make the certificate authority, if there is none yet
    Init(Place),
    /// Show its fingerprint, when it ends, and how a rotation stands
    Show {
        #[command(flatten)]
        place: Place,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = ShowFormat::Human)]
        format: ShowFormat,
    },
    /// Print the certificates that an agent must trust, PEM
    Bundle {
        #[command(flatten)]
        place: Place,
        /// Leave the system's own certificates out
        #[arg(long)]
        only_own: bool,
    },
    /// Have a new authority take the place of the one that signs, without any agent noticing
    #[command(after_help = ROTATE_NOTES)]
    Rotate {
        #[command(flatten)]
        place: Place,
        /// The new one signs after this, also if agents were not seen with it; 24h unless the configuration says otherwise
        #[arg(long, value_name = "DURATION", value_parser = ca::duration)]
        deadline: Option<Duration>,
        /// The new one signs no earlier than this; 15m unless the configuration says otherwise
        #[arg(long, value_name = "DURATION", value_parser = ca::duration)]
        at_least: Option<Duration>,
        /// End a rotation that is under way: the new one signs at once, the old one leaves the bundle
        #[arg(long, conflicts_with_all = ["deadline", "at_least"])]
        finish: bool,
    },
}

/// How `ca show` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ShowFormat {
    /// For people
    Human,
    /// For programs
    Json,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The appliance's configuration, which says where the authority is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The appliance's state folder
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

const EXIT_CODES: &str = "Exit status: 0 done; 1 the policy, a test or the configuration is wrong; 2 usage, or a path that can't be read; \
     3 the policy widens (policy diff, policy import)";

const ROTATE_NOTES: &str = "\
A running appliance notices it by itself; one that does not run goes on from here with its next start. The new authority joins
the bundle at once, and signs when every active agent was seen with that, or at the deadline.

Exit status: 0 begun; 1 a rotation is under way, or it can't be written; 2 usage, or there is no authority";

const RUN_NOTES: &str = "\
SIGHUP reopens audit files and reads policy and credentials again; SIGTERM drains and exits 0.
STUBGATE_LOG sets the level of the log on standard error: error, warn, info (the default), debug or trace.

Exit status: 0 stopped as asked; 1 the configuration is wrong, or a part failed; 2 usage, or a path that can't be read";

/// Exit status for findings: the policy or configuration is wrong, or the demonstration failed.
const WRONG: u8 = 1;
/// Exit status for usage errors and paths that can't be read, as clap uses it.
const UNUSABLE: u8 = 2;

/// Runs the program with the arguments of its process.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo => run::demo(),
        Command::Run { config } => run::run(&config),
        Command::Policy(command) => policy::main(&command),
        Command::Config(Config::Check { file }) => check::config(&file),
        Command::Ca(command) => ca::main(&command),
        Command::Login(asked) => login::main(&asked),
        Command::Stub(command) => stub::main(&command),
        Command::Audit(command) => audit::main(&command),
        Command::Credential(command) => credential::main(&command),
        Command::Nft(asked) => nft::main(&asked),
        Command::Attack(asked) => attack::main(*asked),
        Command::Doctor(asked) => doctor::main(&asked),
        Command::SupportBundle(asked) => support_bundle::main(&asked),
        Command::Sandbox(asked) => sandbox::main(*asked),
        Command::RunPrograms => programs::help(),
        Command::RunProgram { helper, program, arguments } => programs::step(helper, &program, &arguments),
    }
}

/// All that can be said on the command line, for who writes the manual.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Ends with a message.
fn fail(code: u8, message: impl std::fmt::Display) -> ExitCode {
    eprintln!("stubgate: {message}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn every_argument_of_a_program_reaches_it_as_it_is() {
        for arguments in [&["-h", "x"][..], &["--help"], &["--"], &["--", "-h", "--", ""], &["--version"], &[""], &[]] {
            let exec = stubgate_policy::secret_source::Exec {
                program: std::path::Path::new("/bin/token").into(),
                arguments: arguments.iter().map(|one| Box::from(*one)).collect(),
                timeout: std::time::Duration::from_secs(1),
            };
            let line = std::iter::once("stubgate".into()).chain(programs::step_arguments(7, &exec));
            match Cli::try_parse_from(line).unwrap().command {
                Command::RunProgram { helper: 7, program, arguments: given } => {
                    assert_eq!(
                        (&*program, &*given),
                        (&*exec.program, &*arguments.iter().map(OsString::from).collect::<Vec<_>>())
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
