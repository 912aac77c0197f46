//! The cache: many processes, one request; and what is on the disk.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::standin::{self, Standin};
use crate::support::{Home, PROGRAM};

/// Starts many processes at once and gives what they printed.
pub fn crowd(home: &Home, processes: usize, arguments: &[&str]) -> Vec<String> {
    let children: Vec<_> = (0..processes)
        .map(|_| {
            let mut command = home.command(PROGRAM);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        })
        .collect()
}

#[test]
fn two_hundred_processes_on_an_empty_cache_make_one_login() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().think_time = Duration::from_millis(300);
    let answers = crowd(&home, 200, &["token"]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(standin.state().log.len(), 1);
}

#[test]
fn forced_refreshes_make_no_more_requests_than_callers_and_none_fails() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let old = home.run(&["token"]).ok();
    let answers = crowd(&home, 30, &["token", "--force-refresh"]);
    assert!(answers.iter().all(|answer| *answer != old));
    let requests = standin.state().log.len() - 1;
    assert!((1..=30).contains(&requests), "{requests}");
}

#[test]
fn the_cache_directory_and_its_files_are_private_and_hold_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.run(&["token"]).ok();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.cache()), 0o700);
    let files: Vec<_> = fs::read_dir(home.cache()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
    for secret in [standin::PASSWORD, standin::SHARED_SECRET] {
        assert!(!home.files().contains(secret));
    }
}

#[test]
fn a_token_of_another_identity_is_not_answered() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.run(&["token"]).ok();
    let config = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), config.replace(standin::USERNAME, "you@example.com")).unwrap();
    home.run(&["token"]).fails(4);
    assert_eq!(standin.count("password", 401), 1);
}

#[test]
fn a_torn_cache_is_replaced_and_a_foreign_one_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let file = home.cache().join("default.json");
    for torn in ["", "{\"version\":1", "\0\0\0", "{\"version\":99}"] {
        fs::write(&file, torn).unwrap();
        home.run(&["token"]).ok();
        assert!(fs::read_to_string(&file).unwrap().contains("access_token"));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    home.run(&["token"]).fails(7);
    fs::rename(&file, home.path("moved")).unwrap();
    symlink(home.path("moved"), &file).unwrap();
    home.run(&["token"]).fails(7);
    fs::remove_file(&file).unwrap();
    home.run(&["token"]).ok();
    fs::set_permissions(home.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    home.run(&["token"]).fails(7);
    fs::remove_dir_all(home.cache()).unwrap();
    fs::write(home.cache(), "a file where the directory should be").unwrap();
    home.run(&["token"]).fails(7);
}

#[test]
fn a_warm_call_takes_no_lock_starts_no_thread_and_asks_nobody() {
    if !crate::support::have(&["strace"]) {
        return;
    }
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let mut strace = home.command("strace");
    let trace = home.path("trace");
    strace.arg("-f").arg("-o").arg(&trace).arg(PROGRAM).arg("token");
    crate::support::finish(strace, "").ok();
    let trace = fs::read_to_string(trace).unwrap();
    for call in ["flock(", "clone(", "clone3(", "fork(", "socket(", "connect(", ".lock"] {
        assert!(!trace.contains(call), "{call} in\n{trace}");
    }
    assert_eq!(trace.matches("default.json").count(), 1, "{trace}");
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for_no_longer_than_the_time_out() {
    use fs2::FileExt;
    let standin = Standin::start();
    let home = Home::described(&standin);
    fs::create_dir_all(home.cache()).unwrap();
    let lock = home.lock_file();
    let file = fs::File::options().read(true).write(true).open(lock).unwrap();
    file.lock_exclusive().unwrap();
    let start = std::time::Instant::now();
    home.run(&["token", "--timeout", "1s"]).fails(7);
    assert!(start.elapsed() < Duration::from_secs(12));
    let waiting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        FileExt::unlock(&file).unwrap();
    });
    home.run(&["token"]).ok();
    waiting.join().unwrap();
}
