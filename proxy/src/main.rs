//! The program `stubgate`.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use stubgate_proxy::sys::Wiping;

/// Requests are many small allocations of many sizes, freed soon, and some of them hold credentials; see
/// docs/adr/0005-allocator.md.
#[global_allocator]
static ALLOCATOR: Wiping<MiMalloc> = Wiping(MiMalloc);

fn main() -> ExitCode {
    stubgate_proxy::cli::main()
}
