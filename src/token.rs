//! The access token and whose it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// An access token longer than this is refused: no header, environment or `git` line would carry it.
pub const MAX_TOKEN_BYTES: usize = 32 * 1024;

/// An OAuth 2.0 access token (RFC 6749 section 5.1) with the time of its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token itself; at Apigee a JWT.
    pub access_token: Secret,
    /// When it was asked for, by this machine's clock; whole seconds.
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub obtained: Timestamp,
    /// When it expires, by this machine's clock; whole seconds.
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires: Timestamp,
    /// The scopes that the login service named, separated by spaces; may be empty.
    pub scope: String,
    /// The token's identifier at the login service; may be empty.
    pub jti: String,
}

/// What a token belongs to: a cached token of another identity is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account's name, at Apigee an email address.
    pub username: String,
    /// The login service's base URL.
    pub login_url: String,
    /// The OAuth client that the token was issued to.
    pub client_id: String,
}

impl Token {
    /// How long the token lives from `now`; zero when it has expired.
    pub fn life(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.expires.duration_since(now)).unwrap_or_default()
    }

    /// The same token by a clock that is `seconds` ahead of this one.
    #[must_use]
    pub(crate) fn shifted(self, seconds: i64) -> Self {
        let shift = |time: Timestamp| time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time);
        Token { obtained: shift(self.obtained), expires: shift(self.expires), ..self }
    }

    /// Whether the token lives at least `min_validity` from `now`.
    ///
    /// A token obtained in the future is not fresh: the clock has been set back since, and what it now
    /// says about the token's age means nothing.
    pub fn is_fresh(&self, now: Timestamp, min_validity: Duration) -> bool {
        let life = self.life(now);
        self.obtained <= now + CLOCK_JITTER && !life.is_zero() && life >= min_validity
    }
}

/// Clocks of one machine may disagree by this much without having been set back.
const CLOCK_JITTER: Duration = Duration::from_secs(2);

/// Whether `text` can be sent as a bearer token: `b64token` of RFC 6750 section 2.1, and not endless.
///
/// What passes cannot break out of a header, a line of the git protocol or a quoted shell word.
pub fn is_bearer_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    // Without a way out of the loop the compiler looks at many bytes at once; every warm call comes here.
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() | matches!(b, b'-'..=b'/') | (b == b'_') | (b == b'~') | (b == b'+');
    !body.is_empty() && text.len() <= MAX_TOKEN_BYTES && body.bytes().fold(true, |all, b| all & allowed(b))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn token(text: &str, obtained: i64, lives: i64) -> Token {
        Token {
            access_token: Secret::new(text),
            obtained: Timestamp::from_second(obtained).unwrap(),
            expires: Timestamp::from_second(obtained + lives).unwrap(),
            scope: String::new(),
            jti: String::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_fresh_while_it_lives_as_long_as_asked() {
        let token = token("t", 1_000, 1_800);
        assert!(token.is_fresh(at(1_000), Duration::from_secs(1_800)));
        assert!(token.is_fresh(at(2_740), Duration::from_secs(60)));
        assert!(!token.is_fresh(at(2_741), Duration::from_secs(60)));
        assert!(token.is_fresh(at(2_799), Duration::ZERO));
        assert!(!token.is_fresh(at(2_800), Duration::ZERO), "an expired token is never fresh");
    }

    #[test]
    fn a_token_from_the_future_is_not_fresh() {
        let token = token("t", 1_000, 1_800);
        assert!(token.is_fresh(at(999), Duration::ZERO));
        assert!(!token.is_fresh(at(900), Duration::ZERO));
    }

    #[test]
    fn only_a_bearer_token_is_one() {
        assert!(is_bearer_token("eyJh.eyJ-_~+/9.sig=="));
        for bad in ["", "=", "a b", "a\nb", "a\0", "a\"b", "é", "a=b"] {
            assert!(!is_bearer_token(bad), "{bad:?}");
        }
        assert!(!is_bearer_token(&"a".repeat(MAX_TOKEN_BYTES + 1)));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let shown = format!("{:?}", token("very-secret", 0, 1));
        assert!(shown.contains("[redacted]") && !shown.contains("very-secret"));
    }
}
