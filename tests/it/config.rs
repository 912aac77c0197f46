//! config.toml, the environment, and which profile is meant.

use std::fs;

use crate::standin::{self, Standin};
use crate::support::Home;

#[test]
fn nothing_set_up_is_said_so() {
    let home = Home::new();
    assert!(home.run(&["token"]).fails(3).contains("apigee-credential setup"));
    assert!(home.run(&["status", "--profile", "work"]).fails(3).contains("setup --profile work"));
    home.run(&["token", "--profile", "../x"]).fails(2);
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_file_line_and_key() {
    let home = Home::new();
    fs::create_dir_all(home.config().parent().unwrap()).unwrap();
    fs::write(home.config(), "[profile.default]\nusername = 'me'\nlogin-ulr = 'x'\n").unwrap();
    let told = home.run(&["token"]).fails(2);
    assert!(told.contains("config.toml:3: ") && told.contains("login-ulr"), "{told}");
}

#[test]
fn the_environment_alone_is_a_profile() {
    let standin = Standin::start();
    let mut home = Home::new();
    let ca = home.ca_bundle(&standin);
    home.set("SSL_CERT_FILE", ca);
    home.set("SHARED_SECRET", standin::SHARED_SECRET);
    home.set("EDGE_USER_EMAIL", standin::USERNAME);
    home.set("EDGE_USER_PWD", standin::PASSWORD);
    home.set("SSO_LOGIN_URL", standin.url());
    let token = home.run(&["token"]).ok();
    assert_eq!(home.run(&["token"]).ok(), token);
    assert_eq!(standin.logins(), 1);
    let status: serde_json::Value = serde_json::from_str(&home.run(&["status", "--json"]).ok()).unwrap();
    assert_eq!((&status["profile"], &status["secret_store"]), (&"default".into(), &"env".into()));
    home.run(&["token", "--profile", "other"]).fails(3);
    for secret in [standin::PASSWORD, standin::SHARED_SECRET] {
        assert!(!home.files().contains(secret));
    }
}

#[test]
fn the_environment_without_a_shared_secret_has_no_mfa() {
    let standin = Standin::start();
    standin.add_account("robot", "p", None);
    let mut home = Home::new();
    let ca = home.ca_bundle(&standin);
    home.set("SSL_CERT_FILE", ca);
    home.set("EDGE_USER_EMAIL", "robot");
    home.set("EDGE_USER_PWD", "p");
    home.set("SSO_LOGIN_URL", standin.url());
    home.run(&["token"]).ok();
    assert!(standin.state().log[0].mfa_token.is_none());
}

#[test]
fn several_profiles_live_side_by_side() {
    let standin = Standin::start();
    standin.add_account("robot", "p", None);
    let mut home = Home::new();
    home.set_up(&standin, &["--profile", "work"]).ok();
    let (url, ca, file) = (standin.url(), home.ca_bundle(&standin), home.path("robot.json"));
    let file = file.to_str().unwrap();
    let robot = ["setup", "--stdin", "--profile", "robot", "--username", "robot", "--login-url", &url];
    home.run_with(
        &[&robot[..], &["--ca-bundle", &ca, "--api-host", &standin.host(), "--secret-file", file]].concat(),
        r#"{"password":"p"}"#,
    )
    .ok();
    let (work, robot) = (home.run(&["token"]).ok(), home.run(&["token", "--profile", "robot"]).ok());
    assert_ne!(work, robot);
    assert_eq!(home.run(&["--profile", "work", "token"]).ok(), work, "the first profile is the default one");
    home.set("APIGEE_CREDENTIAL_PROFILE", "robot");
    assert_eq!(home.run(&["token"]).ok(), robot);
    assert_eq!(home.run(&["token", "--profile", "work"]).ok(), work);
    home.unset("APIGEE_CREDENTIAL_PROFILE");
    let asked = format!("protocol=https\nhost={}\n", standin.host());
    assert!(home.run_with(&["get"], &asked).ok().contains(work.trim()));
    assert!(home.run_with(&["get"], asked + "username=robot\n").ok().contains(robot.trim()));
    assert_eq!(standin.logins(), 2);
}

#[test]
fn a_configuration_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let standin = Standin::start();
    let home = Home::described(&standin);
    fs::set_permissions(home.config(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(home.run(&["token"]).fails(2).contains("other users"));
}

#[test]
fn other_places_can_be_named() {
    let standin = Standin::start();
    let mut home = Home::new();
    let elsewhere = |home: &Home, name: &str| home.path(name).to_str().unwrap().to_owned();
    let (config, cache) = (elsewhere(&home, "my.toml"), elsewhere(&home, "my-cache"));
    home.set("APIGEE_CREDENTIAL_CONFIG", config);
    home.set("APIGEE_CREDENTIAL_CACHE_DIR", cache);
    home.unset("HOME");
    home.set_up(&standin, &[]).ok();
    home.run(&["token"]).ok();
    assert!(home.path("my.toml").exists() && home.path("my-cache").exists());
    assert!(!home.path("config").exists() && !home.path("cache").exists());
}
