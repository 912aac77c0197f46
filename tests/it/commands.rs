//! `exec`, `doctor`, `completions` and `man`.

use std::time::{Duration, Instant};

use crate::standin::{self, Standin};
use crate::support::{Home, PROGRAM, finish, have};

#[test]
fn exec_gives_the_child_the_token_and_no_secret() {
    let standin = Standin::start();
    let mut home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    for name in ["SHARED_SECRET", "EDGE_USER_PWD", "APIGEE_CREDENTIAL_PASSWORD", "APIGEE_CREDENTIAL_SHARED_SECRET"] {
        home.set(name, "hunter2");
    }
    home.set("APIGEE_REFRESH_TOKEN", "stale");
    let environment = home.run(&["exec", "--", "env"]).ok();
    assert!(environment.contains(&format!("APIGEE_TOKEN={token}")));
    assert!(environment.contains(&format!("APIGEE_USERNAME={}\n", standin::USERNAME)));
    assert!(environment.contains("APIGEE_TOKEN_EXPIRES_AT=20"));
    for secret in ["hunter2", "APIGEE_REFRESH_TOKEN", standin::PASSWORD] {
        assert!(!environment.contains(secret), "{environment}");
    }
}

#[test]
fn exec_passes_status_signals_and_arguments_on() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let shell = |script: &str| home.run(&["exec", "--", "sh", "-c", script, "sh", "a b", "--help"]);
    assert_eq!(shell("exit 42").code, 42);
    assert_eq!(shell("printf '%s|' \"$@\"").ok(), "a b|--help|");
    // The process itself becomes the command: its death by a signal is ours.
    assert_eq!(shell("kill -TERM $$").code, -1);
    home.run(&["exec", "--", "/nonexistent/command"]).fails(2);
    home.run(&["exec"]).fails(2);
    home.run(&["exec", "--profile", "other", "--", "true"]).fails(3);
}

#[test]
fn exec_can_give_a_refresh_token_at_the_cost_of_one_login() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let script = ["exec", "--with-refresh-token", "--", "sh", "-c", "echo $APIGEE_REFRESH_TOKEN"];
    assert!(home.run(&script).ok().ends_with("-r\n"));
    assert_eq!(standin.logins(), 2);
    assert!(!home.files().contains("-r\""));
}

#[test]
fn doctor_finds_everything_well_without_signing_in() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let requests = standin.state().log.len();
    let report = home.run(&["doctor"]).ok();
    assert!(!report.contains("WRONG"), "{report}");
    let report: serde_json::Value = serde_json::from_str(&home.run(&["doctor", "--json"]).ok()).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["checks"].as_array().unwrap().len(), 6);
    let state = standin.state();
    assert!(state.log[requests..].iter().all(|asked| asked.status == 400), "{:?}", state.log);
    assert!(state.accounts[standin::USERNAME].failures.is_empty());
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_mend_it() {
    let report = |home: &Home, code: i32| {
        let outcome = home.run(&["doctor", "--timeout", "5s"]);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(outcome.stderr.starts_with("apigee-credential: "), "{outcome:?}");
        outcome.stdout
    };
    let home = Home::new();
    assert!(report(&home, 3).contains("setup"));

    let standin = Standin::start();
    standin.state().clock_offset = -3600;
    let home = Home::with_account(&standin);
    assert!(report(&home, 1).contains("NTP"));

    standin.state().clock_offset = 0;
    standin.state().clients.clear();
    assert!(report(&home, 4).contains("OAuth client"));

    std::fs::remove_file(home.path("secrets.json")).unwrap();
    std::fs::write(home.path("ca.pem"), Standin::start().ca_pem()).unwrap();
    let text = report(&home, 3);
    assert!(text.contains("WRONG  secret store") && text.contains("WRONG  login service"), "{text}");
    assert!(text.contains("--ca-bundle"), "{text}");
}

#[test]
fn completions_and_the_manual_page_tell_of_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(home.run(&["completions", shell]).ok().contains("min-validity"), "{shell}");
    }
    let page = home.run(&["man"]).ok();
    for section in ["SETUP", "TOKEN", "EXEC", "DOCTOR"] {
        assert!(page.contains(&format!(".SH {section}\n")), "{section}");
    }
    if have(&["man"]) {
        let mut man = home.command("man");
        man.args(["--warnings", "-l", "-"]).env("MANPAGER", "cat");
        let rendered = finish(man, &page);
        assert_eq!(rendered.stderr, "");
        assert!(rendered.ok().contains("with-refresh-token"));
    }
}

#[test]
fn curl_calls_with_the_token_in_nobodys_arguments() {
    if !have(&["curl", "sh"]) {
        return;
    }
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let url = format!("{}/v1/organizations/acme", standin.url());
    for script in [
        format!("{PROGRAM} token --format header | curl -sf --cacert ca.pem -H @- {url}"),
        format!("{PROGRAM} token --format curl | curl -sf --cacert ca.pem --config - {url}"),
    ] {
        assert!(home.shell(&script).ok().contains("acme"), "{script}");
        assert!(!script.contains(token.trim()));
    }
    assert_eq!(standin.logins(), 1);
}

#[test]
fn a_call_that_cannot_write_its_answer_fails() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.shell(&format!("{PROGRAM} token > /dev/full")).fails(1);
}

#[test]
fn a_time_out_ends_every_call() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().think_time = Duration::from_secs(30);
    let start = Instant::now();
    home.run(&["token", "--timeout", "2s"]).fails(5);
    assert!(start.elapsed() < Duration::from_secs(12));
}
