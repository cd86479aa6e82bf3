//! The binary; everything is in the library.

use std::process::ExitCode;

/// A request allocates some hundred small pieces; this allocator halves what
/// that costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ringfence::cli::run()
}
