//! The `bailiwick` program: hands its arguments to the command line of the library and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick::cli::main()
}
