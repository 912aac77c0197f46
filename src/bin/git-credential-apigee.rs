//! The same program under the name by which git finds it.

use std::process::ExitCode;

fn main() -> ExitCode {
    apigee_credential::cli::run(std::env::args_os().collect())
}
