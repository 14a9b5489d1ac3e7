//! `stubgate-agent`: reads the command line and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    stubgate_agent::cli::main()
}
