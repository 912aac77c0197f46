//! The AWS `credential_process` contract, so that any SDK that speaks it can read the token.

use serde::Serialize;

use super::{Issued, line};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials<'a> {
    version: u32,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    expiration: String,
    access_token: &'a str,
    token_type: &'static str,
}

/// One line of JSON; `Expiration` is RFC 3339.
pub fn format(issued: &Issued<'_>) -> String {
    line(&Credentials {
        version: 1,
        access_key_id: issued.username,
        secret_access_key: issued.text(),
        expiration: issued.expires_at(),
        access_token: issued.text(),
        token_type: "Bearer",
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_json_is_as_promised() {
        super::super::tests::check(
            super::format,
            "{\"Version\":1,\"AccessKeyId\":\"o'me@example.com\",\"SecretAccessKey\":\"a.b-c\",\"Expiration\":\"2026-01-01T00:29:59Z\",\"AccessToken\":\"a.b-c\",\"TokenType\":\"Bearer\"}\n",
        );
    }
}
