//! What is sent to the login service, and what is never shown to anybody.

use crate::standin::{self, Standin};
use crate::support::Home;

#[test]
fn a_login_is_what_apigee_expects() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.run(&["token"]).ok();
    let state = standin.state();
    assert_eq!(state.log.len(), 1);
    assert_eq!(state.log[0].authorization.as_deref(), Some("Basic ZWRnZWNsaTplZGdlY2xpc2VjcmV0"));
    assert!(state.log[0].step.is_some());
}

#[test]
fn another_client_authenticates_with_its_own_secret() {
    let standin = Standin::start();
    standin.state().clients.insert("ci client".into(), "s+c:r t".into());
    let client = |id: &str| {
        let home = Home::new();
        let (ca, file, url) = (home.ca_bundle(&standin), home.path("s"), standin.url());
        let arguments = ["setup", "--stdin", "--username", standin::USERNAME, "--login-url", &url, "--client-id", id];
        let json = format!(
            r#"{{"password":"{}","shared_secret":"{}","client_secret":"s+c:r t"}}"#,
            standin::PASSWORD,
            standin::SHARED_SECRET
        );
        home.run_with(&[&arguments[..], &["--ca-bundle", &ca, "--secret-file", file.to_str().unwrap()]].concat(), json)
    };
    client("ci client").ok();
    client("unknown").fails(4);
}

#[test]
fn a_clock_that_is_minutes_off_costs_one_rejected_attempt_at_most() {
    for offset in [-600, 600, 45, -45] {
        let standin = Standin::start();
        standin.state().clock_offset = offset;
        let home = Home::with_account(&standin);
        assert_eq!(standin.logins(), 1);
        assert!(standin.count("password", 401) <= 1, "{offset}");
        // Now the skew is known.
        let status: serde_json::Value = serde_json::from_str(&home.run(&["status", "--json"]).ok()).unwrap();
        assert!((status["clock_skew_seconds"].as_i64().unwrap() - offset).abs() <= 2);
        let rejected = standin.count("password", 401);
        home.run(&["token", "--force-login"]).ok();
        assert_eq!(standin.count("password", 401), rejected, "{offset}");
    }
}

#[test]
fn no_secret_is_told_on_any_level() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let loud = home.run(&["token", "-vv"]);
    let token = loud.stdout.trim().to_owned();
    assert!(loud.stderr.contains("signing in as"), "{}", loud.stderr);
    for secret in [standin::PASSWORD, standin::SHARED_SECRET, &token, "-r"] {
        assert!(!loud.stderr.contains(secret), "{secret}");
    }
    let code = standin.state().log[0].mfa_token.clone().unwrap();
    assert!(!loud.stderr.contains(&code));
}

#[test]
fn a_locked_account_is_told_as_such() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().accounts.get_mut(standin::USERNAME).unwrap().locked_until = u64::MAX;
    assert!(home.run(&["token"]).fails(4).contains("locked"));
}

#[test]
fn a_private_login_service_without_tls_needs_a_word() {
    let home = Home::new();
    let setup =
        ["setup", "--stdin", "--username", "me", "--secret-file", "s", "--login-url", "http://edge.corp.example:9099"];
    assert!(home.run_with(&setup, r#"{"password":"p"}"#).fails(2).contains("allow-http"));
    home.run_with(&[&setup[..], &["--allow-http", "--no-verify"]].concat(), r#"{"password":"p"}"#).ok();
    // On loopback it needs none.
    let standin = Standin::start();
    standin.add_account("robot", "p", None);
    let home = Home::new();
    let url = standin.proxy_url();
    home.run_with(
        &["setup", "--stdin", "--username", "robot", "--secret-file", "s", "--login-url", &url],
        r#"{"password":"p"}"#,
    )
    .ok();
    assert_eq!(standin.logins(), 1);
}

#[test]
fn a_zone_is_reached_under_its_own_name_through_the_proxy() {
    let standin = Standin::start();
    standin.state().zone = true;
    standin.add_account("robot", "p", None);
    let mut home = Home::new();
    let ca = home.ca_bundle(&standin);
    home.set("HTTPS_PROXY", standin.proxy_url());
    home.run_with(
        &["setup", "--stdin", "--username", "robot", "--zone", "acme", "--ca-bundle", &ca, "--secret-file", "s"],
        r#"{"password":"p"}"#,
    )
    .ok();
    home.run(&["token"]).ok();
    assert_eq!(standin.logins(), 1);
    assert_eq!(standin.count("CONNECT acme.login.apigee.com:443", 200), 1);
}
