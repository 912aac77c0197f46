//! The token as a JSON object, named as in RFC 6749 section 5.1.

use serde::Serialize;

use super::{Issued, line};

#[derive(Serialize)]
struct Json<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    expires_at: String,
    scope: &'a str,
    jti: &'a str,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// One line of JSON; `expires_in` counts the seconds left, `expires_at` is RFC 3339.
pub fn format(issued: &Issued<'_>) -> String {
    line(&Json {
        access_token: issued.text(),
        token_type: "bearer",
        expires_in: issued.expires_in().as_secs(),
        expires_at: issued.expires_at(),
        scope: &issued.token.scope,
        jti: &issued.token.jti,
        username: issued.username,
        refresh_token: issued.refresh_token.map(|token| token.expose()),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_json_is_as_promised() {
        super::super::tests::check(
            super::format,
            "{\"access_token\":\"a.b-c\",\"token_type\":\"bearer\",\"expires_in\":1199,\"expires_at\":\"2026-01-01T00:29:59Z\",\"scope\":\"s\",\"jti\":\"j\",\"username\":\"o'me@example.com\"}\n",
        );
    }
}
