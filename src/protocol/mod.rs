//! The formats in which a token is answered and asked for: bytes in, bytes out, no input or output here.

pub mod bazel;
pub mod credential_process;
pub mod exec_credential;
pub mod git;
pub mod json;
pub mod plain;

use std::time::Duration;

use jiff::Timestamp;

use crate::secret::Secret;
use crate::token::Token;

/// A token to answer, with what the formats tell of it.
#[derive(Clone, Debug)]
pub struct Issued<'a> {
    /// The token.
    pub token: &'a Token,
    /// Whose it is.
    pub username: &'a str,
    /// The refresh token, where one was asked for.
    pub refresh_token: Option<&'a Secret>,
    /// The present time.
    pub now: Timestamp,
}

impl Issued<'_> {
    fn text(&self) -> &str {
        self.token.access_token.expose()
    }

    /// When the token expires: RFC 3339, in whole seconds of UTC.
    pub fn expires_at(&self) -> String {
        format!("{:.0}", self.token.expires)
    }

    fn expires_in(&self) -> Duration {
        self.token.life(self.now)
    }
}

/// One line of JSON.
fn line(value: &impl serde::Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("strings and numbers are JSON");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::token;

    /// Checks a format of a token that was obtained at 2026-01-01T00:00:00Z, ten minutes ago.
    pub(super) fn check(format: impl Fn(&Issued<'_>) -> String, expected: &str) {
        let token = Token { scope: "s".into(), jti: "j".into(), ..token("a.b-c", 1_767_225_600, 1_799) };
        let issued = Issued {
            token: &token,
            username: "o'me@example.com",
            refresh_token: None,
            now: token.obtained + Duration::from_secs(600),
        };
        assert_eq!(format(&issued), expected);
    }
}
