//! The `pdsfs` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    pdsfs::cli::main()
}
