//! git's credential protocol, by hand and with the gits of this machine.

use std::path::PathBuf;

use crate::standin::{Standin, USERNAME};
use crate::support::{GIT_PROGRAM, Home, PROGRAM, finish, have, skip};

fn ask(host: &str, more: &str) -> String {
    format!("protocol=https\nhost={host}\n{more}\n")
}

#[test]
fn get_answers_in_the_words_that_git_understands() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let token = token.trim();
    let old = home.run_with(&["get"], ask(&standin.host(), "capability[]=state\nwwwauth[]=Bearer")).ok();
    assert!(old.starts_with(&format!("username={USERNAME}\npassword={token}\npassword_expiry_utc=")), "{old}");
    let new = home.run_with(&["get"], ask(&standin.host(), "capability[]=authtype")).ok();
    let expected =
        format!("capability[]=authtype\nauthtype=Bearer\ncredential={token}\nephemeral=1\npassword_expiry_utc=");
    assert!(new.starts_with(&expected), "{new}");
    let url = format!("url=https://{}/v1/o/acme\n\n", standin.host());
    assert_eq!(home.run_with(&["get"], url).ok(), old);
}

#[test]
fn no_other_host_gets_an_answer() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let (host, port) = (standin.host(), standin.host().replace("localhost:", ""));
    for input in [
        ask("evil.example", ""),
        ask("api.enterprise.apigee.com", ""),
        ask(&format!("{host}.evil.example"), ""),
        ask("localhost", ""),
        ask(&format!("localhost.:{port}"), ""),
        ask(&format!("127.0.0.1:{port}"), ""),
        ask(&format!("x@{host}"), ""),
        ask(&host, "username=somebody@else"),
        ask(&host, "url=https://evil.example/"),
        ask(&host, &format!("url=https://{host}@evil.example/")),
        format!("protocol=ssh\nhost={host}\n\n"),
        format!("host={host}\n\n"),
        "protocol=https\n\n".to_owned(),
        String::new(),
    ] {
        assert_eq!(home.run_with(&["get"], &input).ok(), "", "{input}");
        assert_eq!(home.run_with(&["erase"], &input).ok(), "", "{input}");
    }
    assert_eq!(home.run_with(&["get"], r#"{"uri":"https://evil.example/"}"#).ok(), "{}\n");
    home.run_with(&["get"], "nonsense\n").fails(2);
    home.run_with(&["get"], "host=a\0b\n").fails(2);
}

#[test]
fn a_json_request_gets_headers() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let answer = home.run_with(&["get"], format!(r#"{{"uri":"https://{}/v1/o"}}"#, standin.host())).ok();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["headers"]["Authorization"][0], format!("Bearer {}", token.trim()));
    assert!(answer["expires"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn erase_drops_the_token_that_git_names_and_no_other() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let erase = |what: &str| home.run_with(&["erase"], ask(&standin.host(), what)).ok();
    erase("password=another");
    erase("credential=another");
    assert_eq!(home.run(&["token"]).ok(), token);
    erase(&format!("username={USERNAME}\npassword={}", token.trim()));
    assert!(home.run(&["status"]).ok().contains("none cached"));
    home.run_with(&["store"], ask(&standin.host(), "password=x")).ok();
    assert!(home.run(&["status"]).ok().contains("none cached"));
    assert_eq!(home.run(&["capability"]).ok(), "version 0\ncapability authtype\n");
}

#[test]
fn under_gits_name_it_speaks_gits_protocol_alone() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let link = home.path("git-credential-apigee");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    for program in [link, PathBuf::from(GIT_PROGRAM)] {
        let run = |arguments: &[&str], stdin: &str| {
            let mut command = home.command(&program);
            command.args(arguments);
            finish(command, stdin)
        };
        assert!(run(&["get"], &ask(&standin.host(), "")).ok().contains("password="));
        assert!(run(&["--profile", "default", "get"], &ask(&standin.host(), "")).ok().contains("password="));
        for unknown in ["token", "status", "approve", "frobnicate"] {
            let outcome = run(&[unknown], "");
            assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, "", ""), "{unknown}");
        }
    }
}

/// Every git of this machine, with its version.
fn gits() -> Vec<(PathBuf, (u32, u32))> {
    let path = std::env::var_os("PATH").unwrap();
    let mut gits: Vec<PathBuf> = std::env::split_paths(&path).map(|directory| directory.join("git")).collect();
    gits.push("/usr/bin/git".into());
    gits.retain(|git| git.is_file());
    gits.sort();
    gits.dedup();
    let version = |git: &PathBuf| {
        let output = std::process::Command::new(git).arg("version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut numbers = text.split_whitespace().nth(2).unwrap().split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap(), numbers.next().unwrap())
    };
    gits.into_iter().map(|git| (git.clone(), version(&git))).collect()
}

#[test]
fn real_gits_fill_approve_and_reject() {
    if !have(&["git"]) {
        return;
    }
    let mut authtype_seen = false;
    for (git, version) in gits() {
        for helper in ["apigee", &format!("!{PROGRAM}")] {
            let standin = Standin::start();
            let mut home = Home::with_account(&standin);
            let directory = std::path::Path::new(GIT_PROGRAM).parent().unwrap().to_str().unwrap();
            home.set("PATH", format!("{directory}:{}", std::env::var("PATH").unwrap()));
            home.set("GIT_TERMINAL_PROMPT", "0");
            home.set("GIT_CONFIG_NOSYSTEM", "1");
            let credential = |verb: &str, input: &str| {
                let mut command = home.command(&git);
                command.args(["-c", &format!("credential.helper={helper}"), "credential", verb]);
                finish(command, input)
            };
            let token = home.run(&["token"]).ok();
            let token = token.trim();
            let filled = credential("fill", &ask(&standin.host(), "")).ok();
            assert!(filled.contains(&format!("username={USERNAME}\npassword={token}\n")), "{version:?}: {filled}");
            if version >= (2, 40) {
                assert!(filled.contains("password_expiry_utc="), "{version:?}: {filled}");
            }
            if version >= (2, 46) {
                authtype_seen = true;
                let asked = ask(&standin.host(), "capability[]=authtype");
                let filled = credential("fill", &asked).ok();
                assert!(filled.contains(&format!("authtype=Bearer\ncredential={token}\n")), "{version:?}: {filled}");
                assert!(filled.contains("ephemeral=1"), "{filled}");
            }
            credential("approve", &filled).ok();
            assert!(home.run(&["token"]).ok().contains(token));
            assert_ne!(credential("fill", &ask("evil.example", "")).code, 0, "nobody answers for another host");
            credential("reject", &filled).ok();
            assert!(home.run(&["status"]).ok().contains("none cached"), "{version:?}");
            assert_eq!(standin.state().log.len(), 1);
        }
    }
    if !authtype_seen {
        skip("no git of 2.46 or newer for authtype");
    }
}
