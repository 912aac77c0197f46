//! The keychain, with a real Secret Service.

use std::time::{Duration, Instant};

use crate::cache::crowd;
use crate::standin::{PASSWORD, SHARED_SECRET, Standin, USERNAME};
use crate::support::{Home, desktop};

#[test]
fn a_stale_token_costs_one_refresh_and_no_login() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    standin.state().token_life = 1000;
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    standin.state().token_life = 1799;
    for _ in 0..20 {
        home.run(&["token"]).ok();
    }
    assert_eq!((standin.logins(), standin.refreshes()), (1, 0));
    let answers = crowd(&home, 50, &["token", "--min-validity", "20m"]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "all have the new token");
    assert_eq!((standin.logins(), standin.refreshes()), (1, 1));
    // The refresh token was rotated: the new one is good.
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.logins(), standin.refreshes()), (1, 2));
    for secret in [PASSWORD, SHARED_SECRET, "-r\""] {
        assert!(!home.files().contains(secret), "{secret}");
    }
}

#[test]
fn a_refused_refresh_costs_one_login_and_no_rejected_attempt() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    standin.revoke_refresh_tokens();
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.logins(), standin.count("password", 401)), (2, 0));
    assert_eq!(standin.count("refresh_token", 401), 1);
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.logins(), standin.refreshes()), (2, 1));
}

#[test]
fn the_refresh_token_is_printed_only_when_it_is_asked_for() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    let json = home.run(&["token", "--format", "json", "--with-refresh-token"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["refresh_token"].as_str().unwrap().ends_with("-r"));
    assert_eq!(standin.state().log.len(), 1);
    assert!(home.run(&["token", "--format", "env", "--with-refresh-token"]).ok().contains("APIGEE_REFRESH_TOKEN="));
    home.run(&["token", "--with-refresh-token"]).fails(2);
}

#[test]
fn logout_forgets_the_tokens_and_forget_the_secrets() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    home.run(&["logout"]).ok();
    // The refresh token is gone too: only a login is left, in the next step.
    home.run(&["token"]).ok();
    assert_eq!((standin.logins(), standin.refreshes()), (2, 0));
    home.run(&["logout", "--forget"]).ok();
    home.run(&["token"]).fails(3);
    // A profile without its secrets is not set up either.
    std::fs::write(home.config(), format!("[profile.default]\nusername = \"{USERNAME}\"\n")).unwrap();
    assert!(home.run(&["token"]).fails(3).contains("setup"));
}

#[test]
fn a_rejected_setup_leaves_the_keychain_as_it_was() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    home.set_up_in_keychain(&standin, "wrong").fails(4);
    home.run(&["token"]).fails(3);
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    home.set_up_in_keychain(&standin, "wrong").fails(4);
    home.run(&["token", "--force-refresh"]).ok();
    home.run(&["token", "--force-login"]).ok();
}

#[test]
fn without_a_keychain_the_exit_code_says_so_and_no_login_is_spent() {
    let (standin, home) = (Standin::start(), Home::new());
    let told = home.set_up_in_keychain(&standin, PASSWORD).fails(6);
    assert!(told.contains("--secret-store"), "{told}");
    assert_eq!(standin.state().log.len(), 0);
    assert!(!home.config().exists());
}

#[test]
fn a_locked_keychain_is_no_hang() {
    let Some((standin, mut keyring, home)) = desktop() else { return };
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    let token = home.run(&["token"]).ok();
    keyring.lock();
    let start = Instant::now();
    home.run(&["token", "--force-refresh", "--timeout", "3s"]).fails(6);
    assert!(start.elapsed() < Duration::from_secs(12));
    assert_eq!(home.run(&["token"]).ok(), token, "a fresh token needs no keychain");
    let start = Instant::now();
    let warned = home.run(&["token", "--min-validity", "1800", "--timeout", "3s"]);
    assert!(warned.stderr.contains("the cached token is used"), "{}", warned.stderr);
    assert_eq!(warned.ok(), token);
    assert!(start.elapsed() < Duration::from_secs(12));
}
