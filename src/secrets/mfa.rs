//! MFA tokens that are not made from a shared secret: a command prints them, or a person types them.

use super::{command, unavailable};
use crate::clock::{Clock, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The MFA token that a command prints.
///
/// # Errors
/// [`ErrorKind::SecretStore`] if the command fails, hangs or prints something else.
pub(crate) fn from_command(command: &[String], deadline: Deadline, clock: &dyn Clock) -> Result<Secret> {
    let output = command::run(command, deadline.left(clock))?;
    let code = std::str::from_utf8(&output).unwrap_or_default().trim();
    if is_code(code) {
        Ok(Secret::new(code))
    } else {
        Err(unavailable(format!("`{}` did not print the 6 digits of an MFA token", command[0])))
    }
}

/// The MFA token that the person at the terminal types.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is no terminal or what is typed is no MFA token.
pub(crate) fn from_prompt(username: &str) -> Result<Secret> {
    let typed = rpassword::prompt_password(format!("MFA token of {username}: ")).map_err(|_| {
        Error::new(ErrorKind::Usage, "this profile asks for the MFA token, and there is no terminal to ask on")
            .hint("run `apigee-credential token` on a terminal first")
    })?;
    let typed = Secret::new(typed);
    let digits: String = typed.expose().chars().filter(|c| !c.is_whitespace()).collect();
    let digits = Secret::new(digits);
    if is_code(digits.expose()) {
        Ok(digits)
    } else {
        Err(Error::new(ErrorKind::Usage, "that is no MFA token: it has 6 digits"))
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())
}
