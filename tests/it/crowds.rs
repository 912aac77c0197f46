//! Many processes at once, and processes that are killed.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::crowd;
use crate::standin::{PASSWORD, Standin, USERNAME};
use crate::support::{Home, PROGRAM, desktop};

/// How often a process is killed at some instant of its renewal.
const KILLS: u64 = 300;

fn start(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What is in the cache directory must be the token, the lock, and nothing else.
fn assert_tidy(home: &Home) {
    let names: Vec<_> = fs::read_dir(home.cache()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() <= 2, "{names:?}");
}

#[test]
fn a_process_killed_at_any_instant_leaves_the_old_token_or_the_new() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let start_of_renewal = Instant::now();
    home.run(&["token", "--force-refresh"]).ok();
    let renewal = start_of_renewal.elapsed();
    for round in 0..KILLS {
        let mut process = start(&home, &["token", "--force-refresh"]);
        // From its start to a little after its end, in steps that never repeat.
        thread::sleep(renewal.mul_f64((round * 7919 % KILLS) as f64 / KILLS as f64 * 1.2));
        let _ = process.kill();
        process.wait().unwrap();
        // The token that is there lives; nobody has to wait for a lock.
        let next = home.run(&["token", "-v", "--timeout", "5s"]);
        assert!(!next.stderr.contains("signing in"), "round {round}: the cache was lost: {}", next.stderr);
        next.ok();
    }
    home.run(&["token", "--force-refresh"]).ok();
    assert_tidy(&home);
    assert_eq!(standin.count("password", 401), 0);
}

#[test]
fn a_process_killed_in_a_refresh_costs_one_login_at_most() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    standin.add_account("robot", "p", None);
    let (url, ca) = (standin.url(), home.ca_bundle(&standin));
    let setup = ["setup", "--stdin", "--username", "robot", "--login-url", &url, "--ca-bundle", &ca];
    home.run_with(&setup, r#"{"password":"p"}"#).ok();
    for round in 0..40 {
        let mut process = start(&home, &["token", "--force-refresh"]);
        thread::sleep(Duration::from_millis(round * 3));
        let _ = process.kill();
        process.wait().unwrap();
        let logins = standin.logins();
        home.run(&["token", "--force-refresh"]).ok();
        assert!(standin.logins() <= logins + 1, "round {round}");
    }
    assert_eq!(standin.count("password", 401), 0);
    assert_tidy(&home);
}

#[test]
fn a_code_that_a_killed_process_sent_is_not_sent_again() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().think_time = Duration::from_secs(20);
    let mut process = start(&home, &["token"]);
    let asked = Instant::now();
    while standin.state().log.is_empty() {
        assert!(asked.elapsed() < Duration::from_secs(40), "it never asked");
        thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    standin.state().think_time = Duration::ZERO;
    home.run(&["token"]).ok();
    let state = standin.state();
    let codes: Vec<_> = state.log.iter().map(|asked| (asked.status, asked.mfa_token.clone())).collect();
    assert_eq!(codes.len(), 2);
    assert!(codes.iter().all(|(status, _)| *status == 200));
    assert_ne!(codes[0], codes[1]);
}

#[test]
fn two_hundred_processes_on_a_stale_cache_make_one_refresh() {
    let Some((standin, _keyring, home)) = desktop() else { return };
    standin.state().token_life = 300;
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    {
        let mut state = standin.state();
        state.token_life = 1799;
        state.think_time = Duration::from_millis(300);
    }
    let answers = crowd(&home, 200, &["token", "--min-validity", "10m"]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!((standin.logins(), standin.refreshes()), (1, 1));
}

#[test]
fn a_wrong_password_is_tried_once_from_however_many_processes() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.add_account(USERNAME, "changed", None);
    let processes: Vec<_> = (0..60).map(|_| start(&home, &["token"])).collect();
    for mut process in processes {
        assert_eq!(process.wait().unwrap().code(), Some(4));
    }
    for arguments in [&["token", "--force-refresh"][..], &["exec", "--", "true"], &["token", "--format", "json"]] {
        home.run(arguments).fails(4);
    }
    assert_eq!(standin.state().log.len(), 1);
}

#[test]
fn while_the_lock_holder_hangs_a_living_token_is_answered() {
    use fs2::FileExt;
    let standin = Standin::start();
    standin.state().token_life = 100;
    let home = Home::of_robot(&standin);
    let token = home.run(&["token"]).ok();
    let lock = home.lock_file();
    let file = fs::File::options().read(true).write(true).open(lock).unwrap();
    file.lock_exclusive().unwrap();
    let asked = Instant::now();
    let answer = home.run(&["token", "--min-validity", "5m", "--timeout", "2s"]);
    assert!(answer.stderr.contains("warning") && asked.elapsed() < Duration::from_secs(12), "{answer:?}");
    assert_eq!(answer.ok(), token);
    home.run(&["token", "--force-refresh", "--timeout", "1s"]).fails(7);
}
