//! The command `signpost`.

use std::process::ExitCode;

/// Records are many small texts: this allocator keeps threads out of one another's way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    signpost::cli::main()
}
