//! One error type. Its kinds are the exit codes.

use std::fmt;

/// What went wrong, in the classes that a script can tell apart by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing that this program foresaw (exit code 1).
    Unexpected = 1,
    /// Wrong usage, wrong input or wrong configuration (2).
    Usage = 2,
    /// No such profile, or no secrets in its store (3).
    NotSetUp = 3,
    /// The login service rejected the credentials, or they are held back after a rejection (4).
    Rejected = 4,
    /// The login service could not be reached, was too slow, or did not speak the protocol (5).
    Unreachable = 5,
    /// The secret store is unavailable or locked (6).
    SecretStore = 6,
    /// The cache directory cannot be used (7).
    Cache = 7,
}

/// An error to tell a person: what happened, and where there is one, what to do about it.
///
/// Neither text ever holds a secret, a token or the body of a response, and each shows as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `message` says what happened, to what.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None }
    }

    /// The same error with a line that says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The class of the error, which is the exit code.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do next, on one line, where there is something to do.
    pub fn hint_line(&self) -> Option<String> {
        self.hint.as_deref().map(one_line)
    }
}

/// Shows what happened, on one line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.message))
    }
}

impl std::error::Error for Error {}

/// `text` without what could forge a second line or move a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_it_tells_of() {
        let error = Error::new(ErrorKind::Usage, "bad\nname\x1b[31m").hint("a\r\nb");
        assert_eq!(error.to_string(), "bad name [31m");
        assert_eq!(error.hint_line().as_deref(), Some("a  b"));
    }
}
