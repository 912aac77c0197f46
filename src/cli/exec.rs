//! `exec`: run a command with a valid token in its environment.

use std::process::Command;

use super::arguments::ExecArguments;
use super::{Context, terminal};
use crate::broker::{Renewal, Request};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Issued;
use crate::secrets::SECRET_VARIABLES;

#[inline(never)]
pub(super) fn run(context: &Context, arguments: ExecArguments) -> Result<()> {
    let profile = context.profile()?;
    let valid = context.broker(&profile).token(&Request {
        min_validity: arguments.min_validity,
        renewal: Renewal::WhenStale,
        with_refresh_token: arguments.with_refresh_token,
    })?;
    let issued =
        Issued { token: &valid.token, username: &profile.username, refresh_token: None, now: context.clock.now() };
    let (program, rest) = arguments.command.split_first().expect("clap wants one");
    let mut command = Command::new(program);
    command
        .args(rest)
        .env("APIGEE_TOKEN", valid.token.access_token.expose())
        .env("APIGEE_TOKEN_EXPIRES_AT", issued.expires_at())
        .env("APIGEE_USERNAME", &profile.username)
        .env_remove("APIGEE_REFRESH_TOKEN");
    if let Some(refresh_token) = valid.refresh_token.filter(|_| arguments.with_refresh_token) {
        command.env("APIGEE_REFRESH_TOKEN", refresh_token.expose());
    }
    for variable in SECRET_VARIABLES {
        command.env_remove(variable);
    }
    terminal::clear();
    let error = become_it(command);
    Err(Error::new(ErrorKind::Usage, format!("cannot run {}: {error}", program.to_string_lossy())))
}

/// The process becomes the command, so that signals and job control just work; it returns only if that
/// fails.
#[cfg(unix)]
fn become_it(mut command: Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(&mut command)
}

/// Elsewhere the command is waited for, and its exit status passed on.
#[cfg(not(unix))]
fn become_it(mut command: Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
