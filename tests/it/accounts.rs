//! Accounts of every kind: zones with passcodes, MFA tokens from elsewhere, mounts.

use crate::standin::{PASSWORD, SHARED_SECRET, Standin, USERNAME};
use crate::support::{Home, desktop, finish, have};

fn zone(standin: &Standin, home: &mut Home) {
    let mut state = standin.state();
    state.zone = true;
    state.passcodes = vec![("pass&code".into(), USERNAME.into()), ("another".into(), USERNAME.into())];
    drop(state);
    home.set("HTTPS_PROXY", standin.proxy_url());
}

#[test]
fn a_saml_session_begins_with_a_passcode_and_lives_by_refreshes() {
    let Some((standin, _keyring, mut home)) = desktop() else { return };
    zone(&standin, &mut home);
    let ca = home.ca_bundle(&standin);
    let setup = ["setup", "--zone", "acme", "--username", USERNAME, "--ca-bundle", &ca, "--passcode"];
    let told = home.run_with(&setup, "pass&code\n");
    assert!(told.stderr.contains("https://acme.login.apigee.com/passcode"), "{}", told.stderr);
    told.ok();
    home.run(&["token"]).ok();
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.count("passcode", 200), standin.refreshes()), (1, 1));

    // The session ends at the service: the page is told, and no login is tried.
    standin.revoke_refresh_tokens();
    let told = home.run(&["token", "--force-refresh"]).fails(4);
    assert!(told.contains("https://acme.login.apigee.com/passcode") && told.contains("--passcode"), "{told}");
    assert_eq!(standin.count("password", 401) + standin.logins(), 1);
    home.run_with(&["setup", "--passcode"], "another\n").ok();
    home.run(&["token", "--force-refresh"]).ok();
    home.run_with(&["setup", "--passcode"], "another\n").fails(4);
    home.run(&["token", "--force-refresh"]).ok();
}

#[test]
fn a_passcode_needs_the_keychain() {
    let (standin, mut home) = (Standin::start(), Home::new());
    zone(&standin, &mut home);
    let ca = home.ca_bundle(&standin);
    let setup =
        ["setup", "--zone", "acme", "--username", USERNAME, "--ca-bundle", &ca, "--secret-file", "s", "--passcode"];
    assert!(home.run_with(&setup, "pass&code\n").fails(2).contains("keychain"));
    assert_eq!(standin.count("passcode", 200), 0);
}

#[test]
fn an_mfa_token_can_come_from_a_command() {
    if !have(&["oathtool"]) {
        return;
    }
    let (standin, home) = (Standin::start(), Home::new());
    let ca = home.ca_bundle(&standin);
    let oathtool = format!("oathtool --totp --base32 {SHARED_SECRET}");
    let url = standin.url();
    let setup = |command: &str| {
        home.run_with(
            &[
                "setup",
                "--stdin",
                "--username",
                USERNAME,
                "--login-url",
                &url,
                "--ca-bundle",
                &ca,
                "--secret-file",
                "s",
                "--mfa",
                "command",
                "--mfa-command",
                command,
            ],
            format!(r#"{{"password":"{PASSWORD}"}}"#),
        )
    };
    setup("printf 12345").fails(6);
    setup("false").fails(6);
    setup("/nonexistent/command").fails(6);
    assert_eq!(standin.state().log.len(), 0);
    setup(&oathtool).ok();
    // The same code is not sent twice, wherever it comes from.
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.logins(), standin.state().log.len()), (2, 2));
    home.run(&["otp"]).fails(2);
}

#[test]
fn an_mfa_token_can_be_typed_on_a_terminal_only() {
    if !have(&["oathtool", "script"]) {
        return;
    }
    let (standin, home) = (Standin::start(), Home::new());
    home.set_up(&standin, &["--mfa", "prompt", "--no-verify"]).ok();
    let told = home.run(&["token"]);
    // The test itself may run on a terminal; then the program would ask there.
    if std::fs::File::open("/dev/tty").is_err() {
        assert!(told.fails(2).contains("terminal"));
    }
    let mut oathtool = home.command("oathtool");
    oathtool.args(["--totp", "--base32", SHARED_SECRET]);
    let code = finish(oathtool, "").ok();
    let mut script = home.command("script");
    script.args(["-qec", &format!("{} token", crate::support::PROGRAM), "/dev/null"]);
    let seen = finish(script, &code).ok();
    assert!(seen.contains("MFA token of"), "{seen}");
    assert!(!seen.contains(code.trim()) || seen.find(code.trim()) < seen.find("MFA token of"), "{seen}");
    assert_eq!(standin.logins(), 1);
}

#[test]
fn a_machine_user_of_a_zone_signs_in_with_its_password() {
    let (standin, mut home) = (Standin::start(), Home::new());
    zone(&standin, &mut home);
    standin.add_account("robot", "p+w", None);
    let ca = home.ca_bundle(&standin);
    let setup = ["setup", "--stdin", "--zone", "acme", "--username", "robot", "--ca-bundle", &ca, "--secret-file", "s"];
    home.run_with(&setup, r#"{"password":"p+w"}"#).ok();
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!(standin.logins(), 2);
}
