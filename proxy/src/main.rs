//! The program `stubgate`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Requests are many small allocations of many sizes, freed soon; measured, see docs/adr/0005-allocator.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    stubgate_proxy::cli::main()
}
