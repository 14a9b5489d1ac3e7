//! The program `stubgate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stubgate_proxy::cli::main()
}
