//! Each reader of what comes from outside, with what must hold of all that it lets through: for the fuzzers in
//! `fuzz/`, and for the property tests below.

use std::path::Path;

use crate::cache;
use crate::login::answer;
use crate::profile::{Config, DEFAULT_API_HOST, Profile};
use crate::protocol::{bazel, git};
use crate::secrets::{Secrets, dotenv};
use crate::token::is_bearer_token;

fn profile() -> Profile {
    Profile { login_url: "https://login.example".into(), ..Profile::new("work", "me") }
}

/// A host that is answered is, to the letter, the profile's.
fn check_served(scheme: &str, host: &str) {
    if profile().serves(scheme, host) {
        assert_eq!(scheme, "https");
        let host = host.to_ascii_lowercase();
        assert_eq!(host.strip_suffix(":443").unwrap_or(&host), DEFAULT_API_HOST);
    }
}

/// A description of a credential, as git gives it.
pub fn git(input: &[u8]) {
    if let Ok(request) = git::parse(input) {
        for text in [&request.protocol, &request.host, &request.username].into_iter().flatten() {
            assert!(!text.contains(['\n', '\0']));
        }
        if let (Some(scheme), Some(host)) = (&request.protocol, &request.host) {
            check_served(scheme, host);
        }
    }
}

/// A JSON request, as Bazel gives it.
pub fn bazel(input: &[u8]) {
    if let Ok(Some(target)) = bazel::parse(input) {
        check_served(&target.scheme, &target.host);
        assert!(target.host.is_ascii() && !target.host.contains(['@', '/', '\\', '%', ' ']));
    }
}

/// A `.env` file.
pub fn dotenv(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for key in ["SHARED_SECRET", "EDGE_USER_EMAIL", "EDGE_USER_PWD"] {
        if dotenv::value(&text, key).is_some() {
            assert!(text.contains(key));
        }
    }
}

/// The secrets' JSON: what is read is what is kept, and an error repeats nothing.
pub fn secrets(input: &[u8]) {
    match Secrets::from_json(input) {
        Ok(secrets) => {
            let again = Secrets::from_json(&secrets.to_json()).expect("what was kept is read");
            assert!(secrets.password == again.password && secrets.shared_secret == again.shared_secret);
        }
        Err(e) => assert!(e.to_string().is_ascii() && e.to_string().len() < 200),
    }
}

/// A configuration.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let Ok(config) = Config::parse(Path::new("config.toml"), text) else { return };
    for name in config.names() {
        match config.profile(Some(name)) {
            Ok(profile) => {
                assert!(!profile.username.is_empty() && !profile.username.contains(char::is_control));
                assert!(profile.login_url.starts_with("https://") || profile.login_url.starts_with("http://"));
                assert!(!profile.login_url.contains(['@', '?', '#', '\n', ' ']) || profile.login_url.contains('/'));
                assert!(!profile.name.contains(['/', '\\']));
            }
            Err(e) => assert!(!e.to_string().contains('\n')),
        }
    }
}

/// A token file.
pub fn token_file(input: &[u8]) {
    if let Some(cached) = cache::parse(input, &profile().identity()) {
        assert!(is_bearer_token(cached.token.access_token.expose()));
        let _ = cached.token.is_fresh(jiff::Timestamp::UNIX_EPOCH, std::time::Duration::MAX);
    }
}

/// An answer of the login service: its first byte chooses the status.
pub fn login_answer(input: &[u8]) {
    let (status, body) = input.split_first().map_or((200, input), |(first, body)| {
        ([200, 400, 401, 403, 429, 500, 503, 302][usize::from(*first) % 8], body)
    });
    if let Ok(tokens) = answer::read(status, None, body) {
        assert_eq!(status, 200);
        assert!(is_bearer_token(tokens.access_token.expose()) && !tokens.expires_in.is_zero());
        assert!(![&tokens.scope, &tokens.jti].into_iter().any(|text| text.contains(char::is_control)));
    }
}

/// What a Redis answers: nobody without the secrets can make it show anything, and what one of those who have
/// them sealed is looked at all the same.
pub fn redis_answer(input: &[u8]) {
    let secrets = Secrets::from_json(br#"{"password":"p","shared_secret":"JBSWY3DPEHPK3PXP"}"#).expect("secrets");
    let [strangers, own] = cache::shared::seen_in(input, &profile(), &secrets);
    assert!(strangers.is_none_or(|seen| seen.token.is_none() && seen.account.is_none()));
    let own = own.expect("an answer as Redis gives it");
    assert!(own.token.is_none_or(|cached| is_bearer_token(cached.token.access_token.expose())));
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "(API|api)\\.enterprise\\.apigee\\.com(\\.|:443|:8443|%2e|@evil\\.example|\\.evil\\.example|)";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_bytes_get_past_a_reader(bytes in vec(any::<u8>(), 0..300)) {
            for reader in [git, bazel, dotenv, secrets, config, token_file, login_answer, redis_answer] {
                reader(&bytes);
            }
        }

        #[test]
        fn no_description_gets_an_answer_for_another_host(
            lines in vec(("(protocol|host|username|url|password|capability\\[\\])", prop_oneof![
                "https|http|ssh|authtype",
                HOST,
                "https://([a-z%0-9]{0,4}(:[a-z]{0,3})?@)?(API|api)\\.enterprise\\.apigee\\.com(\\.|:443|:1|%2e|)(/[a-z@?#]{0,5})?",
                ".{0,12}",
            ]), 0..6)
        ) {
            let text: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
            git(text.as_bytes());
        }

        #[test]
        fn no_uri_gets_an_answer_for_another_host(uri in prop_oneof![
            "(https?|HTTPS|ssh)://([a-z\\\\@:%]{0,4})(API|api)\\.enterprise\\.apigee\\.com([.:@/\\\\%#?a-z0-9\u{ff0e}\u{3002}]{0,8})",
            "https://[a-z0-9.\u{ff41}-\u{ff5a}%@:\\[\\]]{0,30}",
        ]) {
            bazel(serde_json::json!({ "uri": uri }).to_string().as_bytes());
        }

        #[test]
        fn no_near_json_gets_past_a_reader(text in "[\\[{]?(\"(password|shared_secret|version|token|access_token|expires_in|identity)\"[:,]?[ 0-9a-z\"{\\[\\]}\\\\]{0,12},?){0,6}[}\\]]?") {
            secrets(text.as_bytes());
            token_file(text.as_bytes());
            login_answer(&[&[0], text.as_bytes()].concat());
            redis_answer(text.as_bytes());
        }

        #[test]
        fn nothing_that_is_near_an_answer_of_redis_shows_anything(text in "([*$:+%~>=!|-]-?[0-9]{0,20}(\r\n)?[a-z0-9\x01]{0,20}(\r\n)?){0,8}") {
            redis_answer(text.as_bytes());
        }

        #[test]
        fn no_near_toml_gets_past_its_reader(text in "(\\[profile\\.[a-z./\"]{0,4}\\]\n((username|login-url|zone|api-hosts|mfa|secret-store|x) ?= ?[\"'\\[]?(https://|http://)?[a-z.:/@\\\\n-]{0,12}[\"'\\]]?\n){0,5}){0,3}") {
            config(text.as_bytes());
        }
    }
}
