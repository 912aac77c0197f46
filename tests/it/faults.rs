//! A login service, a network and a disk that misbehave: the exit code in time, nothing on standard output,
//! one clear line; and the living token where there is one.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::standin::{Certificate, Fault, Standin};
use crate::support::{Home, Outcome, PROGRAM, skip};

const GOOD: &str =
    r#"{"access_token":"a.b.c","token_type":"bearer","expires_in":1799,"refresh_token":"r","scope":"s","jti":"j"}"#;
const TIMEOUT: &str = "3s";

fn in_time(home: &Home, arguments: &[&str]) -> Outcome {
    let start = Instant::now();
    let outcome = home.run(arguments);
    // Far from the default of 60 s, and room for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}: {outcome:?}", start.elapsed());
    outcome
}

fn faults() -> Vec<Fault> {
    let body = |old: &str, new: &str| Fault::Body(GOOD.replace(old, new));
    vec![
        Fault::Status(500, None),
        Fault::Status(502, None),
        Fault::Status(503, Some(1)),
        Fault::Status(503, Some(3600)),
        Fault::Status(429, None),
        Fault::Status(404, None),
        Fault::Status(403, None),
        Fault::Status(200, None),
        Fault::Status(204, None),
        Fault::Body(String::new()),
        Fault::Body(GOOD[..60].to_owned()),
        Fault::Body("[]".to_owned()),
        Fault::Body("null".to_owned()),
        Fault::Body(r#"["a.b.c","bearer",1799]"#.to_owned()),
        body("\"a.b.c\"", "7"),
        body("\"a.b.c\"", "null"),
        body("1799", "\"1799\""),
        body(",\"expires_in\":1799", ""),
        body("1799", "0"),
        body("1799", "-1"),
        body("1799", "3153600000"),
        body("1799", "1e400"),
        body("a.b.c", "a.b.c\\nhost=evil.example"),
        body("a.b.c", "a\\u0000b"),
        body("a.b.c", "a\\u001b[2Jb"),
        body("a.b.c", &"a".repeat(900_000)),
        body("a.b.c", &"a".repeat(3_000_000)),
        body("\"s\"", "\"s\\nt\""),
        Fault::Redirect("https://evil.example/oauth/token".to_owned()),
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Endless,
        Fault::Trickle,
        Fault::Stall(Duration::from_secs(30)),
    ]
}

#[test]
fn whatever_the_login_service_does_wrong_is_exit_code_5_in_time() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    home.run(&["logout"]).ok();
    for fault in faults() {
        standin.state().standing_fault = Some(fault.clone());
        let told = in_time(&home, &["token", "--timeout", TIMEOUT]).fails(5);
        let shown = format!("{fault:?}");
        assert!(!told.contains("evil.example") && !told.contains("hotel"), "{shown:.80}: {told}");
        assert!(told.len() < 600, "{shown:.80}: {told}");
    }
    // None of it was a rejection.
    standin.state().standing_fault = None;
    home.run(&["token"]).ok();
}

#[test]
fn whatever_the_login_service_does_wrong_the_living_token_is_answered() {
    let standin = Standin::start();
    standin.state().token_life = 600;
    let home = Home::of_robot(&standin);
    let token = home.run(&["token"]).ok();
    for fault in faults() {
        standin.state().standing_fault = Some(fault.clone());
        let answer = in_time(&home, &["token", "--min-validity", "20m", "--timeout", TIMEOUT]);
        assert!(answer.stderr.contains("the cached token is used"), "{fault:?}: {}", answer.stderr);
        assert_eq!(answer.stderr.lines().count(), 1, "{}", answer.stderr);
        assert_eq!(answer.ok(), token, "{fault:?}");
    }
    standin.state().standing_fault = Some(Fault::Status(500, None));
    home.run(&["token", "--force-refresh", "--timeout", TIMEOUT]).fails(5);
}

#[test]
fn trouble_that_passes_is_not_told() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    for faults in [vec![Fault::Status(503, Some(1))], vec![Fault::Status(429, None), Fault::Status(503, None)]] {
        standin.state().faults = faults;
        let answer = home.run(&["token", "--force-refresh"]);
        assert_eq!(answer.stderr, "");
        answer.ok();
        assert!(standin.state().faults.is_empty());
    }
}

#[test]
fn a_certificate_that_is_not_to_be_trusted_is_told_as_such() {
    for certificate in [Certificate::Expired, Certificate::OfAnotherHost] {
        let standin = Standin::with_certificate(certificate);
        let home = Home::described(&standin);
        let told = in_time(&home, &["token", "--timeout", TIMEOUT]).fails(5);
        assert!(told.contains("certificate"), "{told}");
        assert_eq!(standin.state().log.len(), 0, "nothing was sent");
    }
    let standin = Standin::start();
    let home = Home::described(&standin);
    fs::write(home.path("ca.pem"), Standin::start().ca_pem()).unwrap();
    let told = in_time(&home, &["token", "--timeout", TIMEOUT]).fails(5);
    assert!(told.contains("certificate") && told.contains("--ca-bundle"), "{told}");
    for junk in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        fs::write(home.path("ca.pem"), junk).unwrap();
        in_time(&home, &["token", "--timeout", TIMEOUT]).fails(2);
    }
    fs::remove_file(home.path("ca.pem")).unwrap();
    in_time(&home, &["token", "--timeout", TIMEOUT]).fails(2);
    assert_eq!(standin.state().log.len(), 0);
}

#[test]
fn a_network_that_does_not_lead_there_is_exit_code_5_in_time() {
    let standin = Standin::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut home = Home::new();
    let setup = |url: &str| {
        let arguments =
            ["setup", "--stdin", "--no-verify", "--username", "me", "--secret-file", "s", "--login-url", url];
        home.run_with(&arguments, r#"{"password":"p"}"#).ok();
    };
    setup(&format!("https://127.0.0.1:{closed}"));
    assert!(in_time(&home, &["token", "--timeout", TIMEOUT]).fails(5).contains("cannot reach"));
    setup("https://login.invalid");
    in_time(&home, &["token", "--timeout", TIMEOUT]).fails(5);
    // A proxy that is not there, and one that does not connect.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf_port = deaf.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in deaf.incoming().flatten() {
            use std::io::{Read, Write};
            let (mut stream, mut request) = (stream, [0; 4096]);
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for proxy in [closed, deaf_port] {
        home.set("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"));
        in_time(&home, &["token", "--timeout", TIMEOUT]).fails(5);
    }
    assert_eq!(standin.state().log.len(), 0);
}

#[test]
fn a_dead_refresh_token_an_outage_and_a_lock_are_no_wrong_password() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    for fault in [Fault::Status(500, None), Fault::DropBefore, Fault::Status(503, Some(9))] {
        standin.state().standing_fault = Some(fault);
        home.run(&["token", "--force-refresh", "--timeout", TIMEOUT]).fails(5);
        standin.state().standing_fault = None;
        home.run(&["token", "--force-refresh"]).ok();
    }
}

#[test]
fn a_clock_that_steps_while_the_program_is_used_costs_one_rejected_attempt_at_most() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    for offset in [600, -300] {
        let before = standin.count("password", 401);
        standin.state().clock_offset = offset;
        home.run(&["token", "--force-refresh"]).ok();
        assert!(standin.count("password", 401) <= before + 1);
    }
    assert_eq!(standin.logins(), 3);
}

/// A file system of its own, of 64 KiB, unmounted at the end; only root can have one.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(place: &'a Path) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]).arg(place);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        (mounted || skip("only root can mount a small disk")).then_some(Disk(place))
    }

    fn remount_read_only(&self) {
        let mut mount = std::process::Command::new("mount");
        assert!(mount.args(["-o", "remount,ro"]).arg(self.0).status().unwrap().success());
    }

    fn fill(&self) {
        let filler = fs::File::create(self.0.join("filler")).unwrap();
        let mut free = 1 << 16;
        while free > 0 {
            use std::io::Write;
            if (&filler).write_all(&vec![0; free]).is_err() {
                free /= 2;
            }
        }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn on_a_full_disk_the_token_is_still_printed_and_no_code_is_forgotten() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let place = home.cache();
    let _ = fs::remove_dir_all(&place);
    let Some(disk) = Disk::mount(&place) else { return };
    home.run(&["token"]).ok();
    disk.fill();
    let kept = fs::read_to_string(place.join("default.json")).unwrap();
    let answer = home.run(&["token", "--force-refresh"]);
    assert!(answer.stderr.contains("could not be cached"), "{}", answer.stderr);
    answer.ok();
    assert_eq!(fs::read_to_string(place.join("default.json")).unwrap(), kept, "the old token is as it was");
    home.run(&["token", "--force-refresh"]).ok();
    let state = standin.state();
    let mut steps: Vec<_> = state.log.iter().map(|asked| (asked.status, asked.step)).collect();
    assert!(steps.iter().all(|(status, _)| *status == 200), "{steps:?}");
    steps.dedup();
    assert_eq!(steps.len(), 3, "each login had a code of its own");
}

#[test]
fn without_room_for_the_lock_no_login_is_tried() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let place = home.cache();
    let _ = fs::remove_dir_all(&place);
    let Some(disk) = Disk::mount(&place) else { return };
    disk.fill();
    home.run(&["token"]).fails(7);
    assert_eq!(standin.state().log.len(), 0);
    fs::remove_file(place.join("filler")).unwrap();
    home.run(&["token"]).ok();
}

#[test]
fn a_read_only_cache_answers_what_it_has_and_no_more() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let place = home.cache();
    let _ = fs::remove_dir_all(&place);
    let Some(disk) = Disk::mount(&place) else { return };
    let token = home.run(&["token"]).ok();
    disk.remount_read_only();
    assert_eq!(home.run(&["token"]).ok(), token);
    home.run(&["token", "--force-refresh"]).fails(7);
    assert_eq!(home.run(&["token", "--min-validity", "2h"]).ok(), token);
    assert_eq!(standin.state().log.len(), 1);
}

#[test]
fn a_home_that_does_not_exist_is_told() {
    let mut home = Home::new();
    for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
        home.unset(name);
    }
    home.set("HOME", "/proc/none");
    home.run(&["token"]).fails(3);
    home.set("EDGE_USER_EMAIL", "me");
    home.set("EDGE_USER_PWD", "p");
    home.run(&["token"]).fails(7);
}

#[test]
fn without_file_descriptors_it_fails_as_it_should() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    for limit in 3..14 {
        let outcome = home.shell(&format!("ulimit -n {limit}; exec {PROGRAM} token --force-refresh --timeout 40s"));
        if outcome.code != 0 {
            let code = outcome.code;
            assert!((1..=7).contains(&code), "{limit}: {outcome:?}");
            outcome.fails(code);
        }
    }
    assert!(standin.state().log.iter().all(|asked| asked.status == 200));
    home.run(&["token"]).ok();
}

#[test]
fn closed_standard_streams_do_not_put_a_token_into_the_cache() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for arguments in ["token", "token --force-refresh"] {
            home.shell(&format!("{PROGRAM} {arguments} {closed}"));
            let lock = home.lock_file();
            assert!(fs::read_to_string(lock).unwrap().starts_with('{'), "{closed}");
            home.run(&["token"]).ok();
        }
    }
}
