//! What an HTTP answer of the token endpoint means.

use std::time::Duration;

use serde::Deserialize;

use super::{Failure, Reach, Tokens};
use crate::json;
use crate::secret::Secret;
use crate::token::is_bearer_token;

/// No token of a login service lives longer; one that is said to is a misunderstanding.
const MAX_LIFE_SECONDS: i64 = 31 * 86_400;

/// A refresh token longer than this no keychain would keep.
const MAX_REFRESH_TOKEN_BYTES: usize = 16 * 1024;

/// The rejection that is not the account's.
pub(super) const CLIENT_REJECTED: &str = "the login service does not accept the OAuth client";

#[derive(Deserialize)]
struct Success {
    access_token: Secret,
    token_type: Option<String>,
    expires_in: i64,
    refresh_token: Option<Secret>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    jti: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OauthError {
    error: String,
    error_description: String,
}

/// Reads the answer with this status and body.
pub(crate) fn read(status: u16, retry_after: Option<&str>, body: &[u8]) -> Result<Tokens, Failure> {
    match status {
        200 => success(body),
        400 | 401 | 403 => Err(refusal(status, body)),
        429 | 500..=599 => Err(Failure::Passing {
            trouble: format!("the login service answered {status}"),
            retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs),
            reach: if matches!(status, 429 | 503) { Reach::TurnedAway } else { Reach::Received },
        }),
        300..=399 => Err(protocol(format!("the login service answered {status}, a redirect, which is not followed"))),
        _ => Err(protocol(format!("the login service answered {status}"))),
    }
}

fn success(body: &[u8]) -> Result<Tokens, Failure> {
    let success: Success =
        json::object(body).map_err(|_| protocol("the login service's answer is not an OAuth token response"))?;
    if success.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(protocol("the login service's token is not a bearer token"));
    }
    if !is_bearer_token(success.access_token.expose()) {
        return Err(protocol("the login service's access token is too long or has characters that no token has"));
    }
    if !(1..=MAX_LIFE_SECONDS).contains(&success.expires_in) {
        return Err(protocol("the login service's token has no believable life (expires_in)"));
    }
    let printable = |text: &str| text.len() <= 8 * 1024 && !text.chars().any(char::is_control);
    if !printable(&success.scope) || !printable(&success.jti) {
        return Err(protocol("the login service's scope or jti is not plain text"));
    }
    Ok(Tokens {
        access_token: success.access_token,
        expires_in: Duration::from_secs(success.expires_in.unsigned_abs()),
        refresh_token: success
            .refresh_token
            .filter(|token| (1..=MAX_REFRESH_TOKEN_BYTES).contains(&token.expose().len()))
            .filter(|token| !token.expose().chars().any(char::is_control)),
        scope: success.scope,
        jti: success.jti,
    })
}

/// A refusal is told in this program's words: a body may hold anything.
fn refusal(status: u16, body: &[u8]) -> Failure {
    let error: OauthError = json::object(body).unwrap_or_default();
    let description = error.error_description.to_ascii_lowercase();
    match (status, error.error.as_str()) {
        _ if description.contains("locked") => Failure::Rejected("the account is locked"),
        (_, "invalid_client" | "unauthorized_client") => Failure::Rejected(CLIENT_REJECTED),
        (_, "invalid_token") => Failure::Rejected("the refresh token is not accepted any more"),
        (401, _) | (_, "unauthorized" | "invalid_grant" | "access_denied") => {
            Failure::Rejected("email, password or MFA token is wrong")
        }
        _ => protocol(format!("the login service answered {status}")),
    }
}

fn protocol(trouble: impl Into<String>) -> Failure {
    Failure::Protocol(trouble.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Tokens, Failure> {
        read(status, None, body.as_bytes())
    }

    const GOOD: &str = r#"{"access_token":"a.b.c","token_type":"bearer","expires_in":1799,"refresh_token":"r","scope":"s t","jti":"j"}"#;

    #[test]
    fn a_token_response_is_read() {
        let tokens = answer(200, GOOD).unwrap();
        assert_eq!(tokens.access_token.expose(), "a.b.c");
        assert_eq!(tokens.expires_in, Duration::from_secs(1799));
        assert_eq!(tokens.refresh_token.unwrap().expose(), "r");
        assert_eq!((tokens.scope.as_str(), tokens.jti.as_str()), ("s t", "j"));
        assert!(answer(200, r#"{"access_token":"a","expires_in":5}"#).unwrap().refresh_token.is_none());
    }

    #[test]
    fn what_is_no_token_response_is_a_protocol_error() {
        for body in [
            "",
            "<html>Sign in to the hotel's network</html>",
            &GOOD[..40],
            "[]",
            "null",
            r#"{"access_token":"a.b.c","token_type":"bearer"}"#,
            r#"{"access_token":7,"expires_in":1799}"#,
            &GOOD.replace("1799", "\"1799\""),
            &GOOD.replace("1799", "0"),
            &GOOD.replace("1799", "-1"),
            &GOOD.replace("1799", "3155760000"),
            &GOOD.replace("1799", "99999999999999999999999"),
            &GOOD.replace("1799", "1e3"),
            &GOOD.replace("a.b.c", "a\\nb"),
            &GOOD.replace("a.b.c", "a\\u0000b"),
            &GOOD.replace("a.b.c", ""),
            &GOOD.replace("a.b.c", &"a".repeat(2_000_000)),
            &GOOD.replace("s t", "s\\nt"),
            &GOOD.replace("bearer", "mac"),
        ] {
            assert!(matches!(answer(200, body), Err(Failure::Protocol(_))), "{body:.80}");
        }
        for status in [201, 204, 302, 307, 404, 405, 418] {
            assert!(matches!(answer(status, GOOD), Err(Failure::Protocol(_))), "{status}");
        }
        assert!(matches!(answer(400, r#"{"error":"invalid_request"}"#), Err(Failure::Protocol(_))));
        assert!(matches!(answer(403, "<html>"), Err(Failure::Protocol(_))));
    }

    #[test]
    fn a_rejection_a_lock_a_dead_refresh_token_and_an_outage_are_four_things() {
        let rejected = |status, body| match answer(status, body) {
            Err(Failure::Rejected(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let bad = rejected(401, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#);
        assert!(bad.contains("password"));
        assert_eq!(rejected(401, "<html>"), bad);
        assert_eq!(rejected(400, r#"{"error":"invalid_grant"}"#), bad);
        let locked = r#"{"error":"unauthorized","error_description":"Your account has been locked because of too many failed attempts to login."}"#;
        assert!(rejected(401, locked).contains("locked"));
        assert!(rejected(401, r#"{"error":"invalid_token"}"#).contains("refresh token"));
        assert!(rejected(401, r#"{"error":"invalid_client"}"#).contains("client"));
        use Reach::{Received, TurnedAway};
        for (status, reached) in
            [(429, TurnedAway), (500, Received), (502, Received), (503, TurnedAway), (504, Received)]
        {
            match read(status, Some("7"), b"") {
                Err(Failure::Passing { retry_after, reach, .. }) => {
                    assert_eq!(retry_after, Some(Duration::from_secs(7)));
                    assert_eq!(reach, reached, "{status}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
