//! The Bazel (EngFlow) credential helper protocol: a URI in, headers out.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Issued, line};
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// The answer for a host that is not the profile's.
pub const NOTHING: &str = "{}\n";

/// Where the request goes, in the terms of the git protocol: scheme and host, with the port if one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https` or `http`.
    pub scheme: String,
    /// `host` or `host:port`.
    pub host: String,
}

/// Reads `{"uri":"https://…"}`. `None` for a URI that says one thing to one reader and another to the next:
/// with a user name, with escapes or letters in its host that somebody would have to translate.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is not that.
pub fn parse(request: &[u8]) -> Result<Option<Target>> {
    #[derive(Deserialize)]
    struct Request {
        uri: String,
    }
    let wrong = |what: &str| Error::new(ErrorKind::Usage, format!("the request {what}"));
    let Request { uri } = json::object(request).map_err(|_| wrong("is not {\"uri\":\"…\"}"))?;
    let url = Url::parse(&uri).map_err(|_| wrong("has a uri that is no URI"))?;
    let (Some((scheme, rest)), Some(host)) = (uri.split_once("://"), url.host_str()) else {
        return Ok(None);
    };
    let written = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |port: &str| written.eq_ignore_ascii_case(&format!("{host}{port}"));
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    let is_plain = matches!(scheme, "https" | "http") && (plain(&port) || url.port().is_none() && plain(""));
    Ok(is_plain.then(|| Target { scheme: scheme.to_owned(), host: written.to_owned() }))
}

#[derive(Serialize)]
struct Answer<'a> {
    headers: Headers<'a>,
    expires: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Headers<'a> {
    authorization: [&'a str; 1],
}

/// One line of JSON; `expires` is RFC 3339.
pub fn format(issued: &Issued<'_>) -> String {
    let bearer = zeroize::Zeroizing::new(format!("Bearer {}", issued.text()));
    line(&Answer { headers: Headers { authorization: [&bearer] }, expires: issued.expires_at() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_promised() {
        super::super::tests::check(
            format,
            "{\"headers\":{\"Authorization\":[\"Bearer a.b-c\"]},\"expires\":\"2026-01-01T00:29:59Z\"}\n",
        );
    }

    fn target(uri: &str) -> Option<String> {
        let request = serde_json::json!({ "uri": uri, "other": 1 }).to_string();
        parse(request.as_bytes()).unwrap().map(|target| format!("{} {}", target.scheme, target.host))
    }

    #[test]
    fn a_uri_is_taken_apart() {
        assert_eq!(target("https://api.example/v1/x?y#z").unwrap(), "https api.example");
        assert_eq!(target("https://API.example:443").unwrap(), "https API.example:443");
        assert_eq!(target("https://api.example:8443/").unwrap(), "https api.example:8443");
        assert_eq!(target("http://[::1]:80/").unwrap(), "http [::1]:80");
    }

    #[test]
    fn a_uri_that_two_readers_may_read_differently_is_nobodys() {
        for uri in [
            "https://api.example@evil.example/",
            "https://user@api.example/",
            "https://evil.example\\@api.example/",
            "https://api%2eexample/",
            "https://\u{ff41}pi.example/",
            "https://api.ex\tample/",
            "https:api.example/",
            "https:///api.example/",
            "HTTPS://api.example/",
            "mailto:api.example",
        ] {
            assert_eq!(target(uri), None, "{uri}");
        }
        for request in ["", "{}", "[]", r#"{"uri":7}"#, r#"{"uri":"api.example"}"#] {
            assert_eq!(parse(request.as_bytes()).unwrap_err().kind(), ErrorKind::Usage, "{request}");
        }
    }
}
