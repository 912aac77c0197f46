//! The formats for shells and curl.

use super::Issued;

/// The token and a newline.
pub fn token(issued: &Issued<'_>) -> String {
    format!("{}\n", issued.text())
}

/// An HTTP header, for `curl -H @-`.
pub fn header(issued: &Issued<'_>) -> String {
    format!("Authorization: Bearer {}\n", issued.text())
}

/// A line of a curl configuration, for `curl --config`. A bearer token has nothing to escape.
pub fn curl(issued: &Issued<'_>) -> String {
    format!("header = \"Authorization: Bearer {}\"\n", issued.text())
}

/// Variables for a shell's `eval`, quoted.
pub fn env(issued: &Issued<'_>) -> String {
    let mut lines = format!(
        "export APIGEE_TOKEN={}\nexport APIGEE_TOKEN_EXPIRES_AT={}\n",
        quote(issued.text()),
        quote(&issued.expires_at()),
    );
    if let Some(refresh_token) = issued.refresh_token {
        lines += &format!("export APIGEE_REFRESH_TOKEN={}\n", quote(refresh_token.expose()));
    }
    lines
}

/// A word for any POSIX shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_plain_formats_are_as_promised() {
        check(token, "a.b-c\n");
        check(header, "Authorization: Bearer a.b-c\n");
        check(curl, "header = \"Authorization: Bearer a.b-c\"\n");
        check(env, "export APIGEE_TOKEN='a.b-c'\nexport APIGEE_TOKEN_EXPIRES_AT='2026-01-01T00:29:59Z'\n");
    }

    #[test]
    fn what_a_shell_evaluates_is_quoted() {
        let secret = Secret::new("a'b;$(c)");
        check(
            |issued| env(&Issued { refresh_token: Some(&secret), ..issued.clone() }),
            "export APIGEE_TOKEN='a.b-c'\nexport APIGEE_TOKEN_EXPIRES_AT='2026-01-01T00:29:59Z'\nexport APIGEE_REFRESH_TOKEN='a'\\''b;$(c)'\n",
        );
    }
}
