//! `token`: the cache, the refresh, the login, and the formats.

use std::time::{Duration, Instant};

use crate::standin::Standin;
use crate::support::Home;

#[test]
fn after_setup_twenty_calls_cost_one_login() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    for _ in 0..19 {
        assert_eq!(home.run(&["token"]).ok(), token);
    }
    assert_eq!((standin.logins(), standin.refreshes()), (1, 0));
}

#[test]
fn the_management_api_accepts_the_token() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let roots = ureq::tls::Certificate::from_pem(standin.ca_pem().as_bytes()).unwrap();
    let agent = ureq::Agent::config_builder()
        .tls_config(ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[roots])).build())
        .http_status_as_error(false)
        .build()
        .new_agent();
    let status = |token: &str| {
        let url = format!("{}/v1/organizations/acme", standin.url());
        agent.get(url).header("Authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
    };
    assert_eq!(status(token.trim()), 200);
    assert_eq!(status("x.y.z"), 401);
}

#[test]
fn each_format_is_what_its_reader_expects() {
    let standin = Standin::start();
    let mut home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let token = token.trim();
    assert_eq!(home.run(&["token", "--format", "header"]).ok(), format!("Authorization: Bearer {token}\n"));
    assert_eq!(home.run(&["token", "--format=curl"]).ok(), format!("header = \"Authorization: Bearer {token}\"\n"));

    let json = |format: &str| -> serde_json::Value {
        serde_json::from_str(&home.run(&["token", "--format", format]).ok()).unwrap()
    };
    let plain = json("json");
    assert_eq!(plain["access_token"], token);
    assert_eq!(plain["token_type"], "bearer");
    assert_eq!(plain["username"], crate::standin::USERNAME);
    assert!(plain["expires_in"].as_u64().unwrap() > 1700);
    assert!(plain["jti"].as_str().is_some_and(|jti| !jti.is_empty()));
    assert!(plain.get("refresh_token").is_none());
    let expires = plain["expires_at"].as_str().unwrap();

    let process = json("credential-process");
    assert_eq!((&process["Version"], &process["SecretAccessKey"]), (&1.into(), &token.into()));
    assert_eq!(process["Expiration"], expires);
    let exec = json("exec-credential");
    assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(exec["status"]["token"], token);
    assert_eq!(exec["status"]["expirationTimestamp"], expires);
    home.set("KUBERNETES_EXEC_INFO", r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#);
    assert!(home.run(&["token", "--format", "exec-credential"]).ok().contains("k8s.io/v1beta1"));
    home.set("KUBERNETES_EXEC_INFO", r#"{"apiVersion":"client.authentication.k8s.io/v9"}"#);
    home.run(&["token", "--format", "exec-credential"]).fails(2);
    home.run(&["token", "--format", "yaml"]).fails(2);

    let script = format!("eval \"$({} token --format env)\" && printf %s \"$APIGEE_TOKEN\"", crate::support::PROGRAM);
    assert_eq!(home.shell(&script).ok(), token);
    assert_eq!(standin.logins(), 1);
}

#[test]
fn an_output_file_is_its_owners_alone_and_holds_the_same_bytes() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let file = home.path("access_token");
    std::fs::write(&file, "older and longer").unwrap();
    assert_eq!(home.run(&["token", "--output", "access_token"]).ok(), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    home.run(&["token", "--output", "/dev/null"]).fails(2);
    home.run(&["token", "--output", "no/such/directory"]).fails(2);
}

#[test]
fn a_store_that_keeps_no_refresh_token_renews_by_login() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let first = home.run(&["token"]).ok();
    // The code of this step is used: the login waits for the next one.
    let second = home.run(&["token", "--force-refresh"]).ok();
    assert_ne!(first, second);
    assert_eq!((standin.logins(), standin.refreshes()), (2, 0));
    assert!(standin.state().log.iter().all(|asked| asked.status == 200));
    assert!(!home.files().contains("-r\""), "a refresh token is on the disk");
}

#[test]
fn logout_then_token_within_a_step_waits_rather_than_send_a_code_twice() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.run(&["logout"]).ok();
    // There is no time to wait: nothing is sent.
    let told = home.run(&["token", "--timeout", "1s"]);
    if told.code != 0 {
        told.fails(5);
        home.run(&["token"]).ok();
    }
    let log = standin.state().log.iter().map(|asked| (asked.status, asked.step.unwrap())).collect::<Vec<_>>();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|(status, _)| *status == 200));
    assert!(log[0].1 < log[1].1);
}

#[test]
fn a_longer_life_than_the_service_gives_is_answered_with_the_freshest() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let first = home.run(&["token", "--min-validity", "20m"]).ok();
    let longer = home.run(&["token", "--min-validity", "2h"]);
    assert!(longer.stderr.contains("warning"), "{}", longer.stderr);
    assert_ne!(longer.ok(), first);
    assert_eq!(standin.logins(), 2);
}

#[test]
fn a_rejected_login_is_not_tried_again_until_it_is_asked_for() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().accounts.get_mut(crate::standin::USERNAME).unwrap().password = "changed".into();
    let told = home.run(&["token"]).fails(4);
    assert!(told.contains("password"), "{told}");
    let start = Instant::now();
    for _ in 0..5 {
        let told = home.run(&["token"]).fails(4);
        assert!(told.contains("not tried again before"), "{told}");
    }
    assert!(start.elapsed() < Duration::from_secs(12));
    assert_eq!(standin.count("password", 401), 1);
    let status: serde_json::Value = serde_json::from_str(&home.run(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["next"], "held-back");
    standin.state().accounts.get_mut(crate::standin::USERNAME).unwrap().password = crate::standin::PASSWORD.into();
    home.run(&["token", "--force-login"]).ok();
    home.run(&["token"]).ok();
    assert_eq!(standin.logins(), 1);
}

#[test]
fn status_tells_what_is_known_and_no_secret() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let text = home.run(&["status"]).ok();
    assert!(text.contains(crate::standin::USERNAME) && text.contains("answers from the cache"), "{text}");
    let json = home.run(&["status", "--json"]).ok();
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["next"], "cache");
    assert_eq!(status["secret_store"], "file");
    for text in [text, json] {
        for secret in [token.trim(), crate::standin::PASSWORD, crate::standin::SHARED_SECRET] {
            assert!(!text.contains(secret));
        }
    }
    home.run(&["logout"]).ok();
    assert!(home.run(&["status"]).ok().contains("none cached"));
}

#[test]
fn forgetting_leaves_nothing_to_sign_in_with() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.run(&["logout", "--forget"]).ok();
    assert!(!home.path("secrets.json").exists());
    assert!(home.run(&["token"]).fails(3).contains("setup"));
    assert!(!home.files().contains(crate::standin::USERNAME));
}

#[test]
fn a_wrong_command_line_says_what_is_near() {
    let home = Home::new();
    assert!(home.run(&["tokne"]).fails(2).contains("`token`"));
    assert!(home.run(&["token", "--fromat", "json"]).fails(2).contains("--format"));
    home.run(&[]).fails(2);
    home.run(&["token", "--min-validity", "soon"]).fails(2);
    home.run(&["token", "--timeout", "0"]).fails(2);
    assert!(home.run(&["--version"]).ok().starts_with("apigee-credential "));
    assert!(home.run(&["token", "--help"]).ok().contains("--min-validity"));
}
