//! The credential helper for Apigee Edge.

use std::process::ExitCode;

fn main() -> ExitCode {
    apigee_credential::cli::run(std::env::args_os().collect())
}
