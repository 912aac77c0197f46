//! Many machines that share one account's token: each is a home of its own, with its own configuration, cache and
//! environment, and Redis is real.

use std::collections::HashSet;
use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use apigee_credential::{Broker, Clock, Config, ErrorKind, Request, SystemClock};

use crate::redis::Redis;
use crate::standin::{PASSWORD, Standin, USERNAME};
use crate::support::{Home, Outcome, PROGRAM, desktop, secrets_json};

/// An answer that comes a byte at a time.
const DRIPPING: &[u8] = b"$60\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

const ROBOT: &str = r#"{"password":"p"}"#;

/// Machines on which the stand-in's account, which is under MFA, is described, and nothing else is there.
fn machines(standin: &Standin, cache: &str, count: usize) -> Vec<Home> {
    described(standin, cache, count, USERNAME, &secrets_json(PASSWORD))
}

/// The same with an account that has no MFA.
fn robots(standin: &Standin, cache: &str, count: usize) -> Vec<Home> {
    standin.add_account("robot", "p", None);
    described(standin, cache, count, "robot", ROBOT)
}

fn described(standin: &Standin, cache: &str, count: usize, username: &str, secrets: &str) -> Vec<Home> {
    let homes: Vec<_> = (0..count).map(|_| Home::new()).collect();
    let (url, host, ca) = (standin.url(), standin.host(), homes[0].ca_bundle(standin));
    let arguments =
        ["setup", "--no-verify", "--stdin", "--username", username, "--login-url", &url, "--api-host", &host];
    let more = ["--ca-bundle", &ca, "--secret-file", "secrets.json", "--shared-cache", cache];
    homes[0].run_with(&[&arguments[..], &more].concat(), secrets).ok();
    homes[1..].iter().for_each(|home| home.copy_config(&homes[0]));
    homes
}

fn start(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs as many processes on each machine, all at once.
fn crowd(homes: &[Home], processes: usize, arguments: &[&str]) -> Vec<Outcome> {
    let children: Vec<_> =
        (0..processes).flat_map(|_| homes.iter().map(|home| start(home, arguments)).collect::<Vec<_>>()).collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            Outcome {
                code: output.status.code().unwrap_or(-1),
                stdout: String::from_utf8(output.stdout).unwrap(),
                stderr: String::from_utf8(output.stderr).unwrap(),
            }
        })
        .collect()
}

/// The one token that all have got.
fn the_token(outcomes: Vec<Outcome>) -> String {
    let mut tokens: HashSet<_> = outcomes.into_iter().map(Outcome::ok).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    tokens.drain().next().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(50), "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hundred_machines_make_one_login_and_then_one_refresh() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = machines(&standin, &redis.url(), 100);
    {
        let mut state = standin.state();
        state.think_time = Duration::from_millis(300);
        state.token_life = 300;
    }
    let first = the_token(crowd(&homes, 4, &["token", "--timeout", "120s"]));
    assert_eq!(standin.state().log.len(), 1);

    standin.state().token_life = 1799;
    let second = the_token(crowd(&homes, 4, &["token", "--min-validity", "10m", "--timeout", "120s"]));
    assert_ne!(first, second);
    assert_eq!((standin.logins(), standin.refreshes(), standin.state().log.len()), (1, 1, 2));
}

#[test]
fn a_wrong_password_is_tried_once_by_the_whole_fleet() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = robots(&standin, &redis.url(), 100);
    standin.add_account("robot", "changed", None);
    for outcome in crowd(&homes, 4, &["token", "--timeout", "120s"]) {
        outcome.fails(4);
    }
    assert_eq!(standin.state().log.len(), 1);

    // Who has the new password is not held back, and shares what it gets with those that have it, too.
    standin.add_account("robot", "changed", None);
    let machines = described(&standin, &redis.url(), 2, "robot", r#"{"password":"changed"}"#);
    the_token(crowd(&machines, 1, &["token"]));
    assert_eq!(standin.logins(), 1);
    homes[7].run(&["token"]).fails(4);
}

#[test]
fn when_the_one_that_signs_in_is_killed_another_does_and_no_code_is_sent_twice() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = machines(&standin, &redis.url(), 2);
    standin.state().think_time = Duration::from_secs(100);
    let mut holder = start(&homes[0], &["token"]);
    wait_until("the login", || !standin.state().log.is_empty());
    standin.state().think_time = Duration::ZERO;
    let killed = Instant::now();
    holder.kill().unwrap();
    holder.wait().unwrap();
    homes[1].run(&["token", "--timeout", "120s"]).ok();
    // The lock's life, and the rest of an MFA step.
    assert!(killed.elapsed() < Duration::from_secs(15 + 35), "{:?}", killed.elapsed());
    let state = standin.state();
    let codes: Vec<_> = state.log.iter().map(|asked| (asked.status, asked.mfa_token.clone().unwrap())).collect();
    assert!(
        codes.len() == 2 && codes[0].1 != codes[1].1 && codes.iter().all(|(status, _)| *status == 200),
        "{codes:?}"
    );
}

#[test]
fn a_login_that_outlasts_the_lock_makes_no_two_codes_collide() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = machines(&standin, &redis.url(), 2);
    standin.state().think_time = Duration::from_secs(19);
    let slow = start(&homes[0], &["token", "--timeout", "120s"]);
    wait_until("the login", || !standin.state().log.is_empty());
    standin.state().think_time = Duration::ZERO;
    homes[1].run(&["token", "--timeout", "120s"]).ok();
    assert!(slow.wait_with_output().unwrap().status.success());
    let state = standin.state();
    let steps: HashSet<_> = state.log.iter().map(|asked| asked.step.unwrap()).collect();
    assert_eq!((state.log.len(), steps.len()), (2, 2));
}

#[test]
fn a_redis_that_is_killed_and_comes_back_in_mid_run_costs_nobody_the_token() {
    let Some(mut redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = machines(&standin, &redis.url(), 20);
    standin.state().think_time = Duration::from_millis(1500);
    let running: Vec<_> = homes.iter().map(|home| start(home, &["token", "--timeout", "180s"])).collect();
    wait_until("the login", || !standin.state().log.is_empty());
    redis.kill();
    thread::sleep(Duration::from_millis(700));
    redis.restart();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let state = standin.state();
    assert!(state.log.iter().all(|asked| asked.status == 200), "a code was sent twice");
    assert!(state.log.len() <= 3, "{} logins", state.log.len());
}

#[test]
fn redis_comes_and_goes_under_a_fleet_at_work_and_nobody_fails() {
    let Some(mut redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = robots(&standin, &redis.url(), 8);
    thread::scope(|scope| {
        let work = |home: &Home| {
            for _ in 0..10 {
                let answer = home.run(&["token", "--force-refresh"]);
                assert_eq!(answer.code, 0, "{}", answer.stderr);
            }
        };
        let workers: Vec<_> = homes.iter().map(|home| scope.spawn(move || work(home))).collect();
        let mut round = 0;
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            // Up and down for times that never repeat, some longer than the least patience.
            thread::sleep(Duration::from_millis(200 + round * 577 % 1900));
            redis.kill();
            thread::sleep(Duration::from_millis(round * 811 % 2700));
            redis.restart();
            round += 1;
        }
    });
    assert_eq!(standin.count("password", 401), 0);
}

#[test]
fn without_redis_every_machine_signs_in_once_by_itself_and_says_so() {
    let Some(mut redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = robots(&standin, &redis.url(), 10);
    redis.kill();
    let asked = Instant::now();
    for outcome in crowd(&homes, 4, &["token"]) {
        assert!(outcome.code == 0, "{outcome:?}");
    }
    assert!(asked.elapsed() < Duration::from_secs(40), "{:?}", asked.elapsed());
    assert_eq!((standin.logins(), standin.state().log.len()), (10, 10));
    // A fresh token is answered without a look at Redis, and without a word.
    assert_eq!(homes[0].run(&["token"]).stderr, "");
    let warned = homes[0].run(&["token", "--force-login"]);
    assert!(warned.stderr.contains("warning: the shared cache at 127.0.0.1:"), "{}", warned.stderr);
    warned.ok();

    redis.restart();
    let shared = homes[1].run(&["token", "--force-login"]).ok();
    homes[2].run(&["logout"]).ok();
    assert_eq!(homes[2].run(&["token"]).ok(), shared);
}

#[test]
fn what_was_tampered_with_swapped_or_put_back_is_never_believed_for_longer_than_its_life() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    standin.add_account("other", "p", None);
    let homes = robots(&standin, &redis.url(), 4);
    let others = described(&standin, &redis.url(), 1, "other", ROBOT);
    let foreign = others[0].run(&["token"]).ok();
    let foreign_value = redis.get(&redis.key(":token"));
    redis.flush();

    standin.state().token_life = 64;
    let short = homes[0].run(&["token", "--min-validity", "1s"]).ok();
    let since = Instant::now();
    let (token, refresh, account) = (redis.key(":token"), redis.key(":refresh"), redis.key(":account"));
    let good = redis.get(&token);
    standin.state().token_life = 1799;

    // Each is as good as none: a machine that finds it signs in or refreshes, and says what it found.
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [flipped, foreign_value, redis.get(&refresh), redis.get(&account), b"{}".to_vec(), Vec::new()] {
        redis.set(&token, &bad);
        let doctor = homes[1].run(&["doctor"]);
        assert!(doctor.code == 7 && doctor.stdout.contains("not sealed by this account"), "{doctor:?}");
        assert!(homes[1].run(&["status"]).ok().contains("holds what was not sealed by this account"));
        let answer = homes[1].run(&["token"]);
        assert!(answer.stderr.contains("warning: the shared cache at"), "{}", answer.stderr);
        let got = answer.ok();
        assert!(got != foreign && got != short, "a planted token was believed");
        homes[1].run(&["logout"]).ok();
    }
    // So is a refresh token, and what is known of the account.
    for key in [&refresh, &account] {
        redis.set(key, &good);
        let answer = homes[2].run(&["token", "--force-refresh"]);
        assert!(answer.stderr.contains("not sealed by this account"), "{}", answer.stderr);
        answer.ok();
        homes[2].run(&["logout"]).ok();
    }
    assert_eq!(standin.count("password", 401) + standin.count("refresh_token", 401), 0);

    redis.set(&token, &good);
    assert_eq!(homes[3].run(&["token", "--min-validity", "1s"]).ok(), short);
    homes[3].run(&["logout"]).ok();
    thread::sleep(Duration::from_secs(66).saturating_sub(since.elapsed()));
    redis.set(&token, &good);
    assert_ne!(homes[3].run(&["token", "--min-validity", "1s"]).ok(), short);
}

#[test]
fn redis_holds_nothing_in_clear_and_everything_expires() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let home = &machines(&standin, &redis.url(), 1)[0];
    let json = home.run(&["token", "--format", "json", "--with-refresh-token"]).ok();
    let secret =
        |field: &str| json.split(&format!("\"{field}\":\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let secrets = [secret("access_token"), secret("refresh_token"), secret("jti"), PASSWORD.into(), USERNAME.into()];
    let keys = redis.keys();
    assert!(keys.iter().any(|key| key.contains(":step:")), "{keys:?}");
    for key in keys {
        let value = String::from_utf8_lossy(&redis.get(&key)).into_owned();
        assert!(!secrets.iter().any(|secret| key.contains(secret) || value.contains(secret)), "{key}");
        let life: i64 = ::redis::cmd("TTL").arg(&key).query(&mut redis.connection()).unwrap();
        assert!((1..=86_400).contains(&life), "{key}: {life}");
    }
    assert!(!home.files().contains(&secrets[1]), "a refresh token in a file");
}

#[test]
fn a_token_that_git_erases_is_erased_for_the_fleet_and_a_newer_one_is_not() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = robots(&standin, &redis.url(), 2);
    let old = homes[0].run(&["token"]).ok();
    assert_eq!(homes[1].run(&["token"]).ok(), old);
    let erase = |home: &Home| {
        let host = standin.host();
        let input = format!("protocol=https\nhost={host}\nusername=robot\npassword={}\n\n", old.trim());
        home.run_with(&["erase"], input).ok();
    };
    erase(&homes[0]);
    let new = homes[0].run(&["token"]).ok();
    assert_ne!(old, new);
    erase(&homes[1]);
    assert_eq!(homes[1].run(&["token"]).ok(), new);
}

#[test]
fn the_clock_of_the_service_is_learnt_once_for_all() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = machines(&standin, &redis.url(), 2);
    standin.state().clock_offset = 3600;
    homes[0].run(&["token", "--timeout", "120s"]).ok();
    assert_eq!(standin.count("password", 401), 1);
    homes[1].run(&["token", "--force-login", "--timeout", "120s"]).ok();
    assert_eq!(standin.count("password", 401), 1, "the second machine had to learn it again");
}

/// A machine's clock that is off by so many seconds.
struct Off(i64, SystemClock);

impl Clock for Off {
    fn now(&self) -> jiff::Timestamp {
        self.1.now() + jiff::SignedDuration::from_secs(self.0)
    }

    fn monotonic(&self) -> Duration {
        self.1.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        self.1.sleep(duration);
    }
}

/// The token on a machine whose clock is off by `seconds`, and how long it lives as that machine sees it.
fn token_with_clock(home: &Home, seconds: i64) -> apigee_credential::Result<(String, u64)> {
    let profile = Config::load(&home.config())?.profile(None)?;
    let clock = Off(seconds, SystemClock::start());
    let valid = Broker::new(&profile, &home.cache(), &clock, Duration::from_secs(60)).token(&Request::default())?;
    Ok((valid.token.access_token.expose().to_owned(), valid.token.life(clock.now()).as_secs()))
}

#[test]
fn machines_whose_clocks_differ_share_a_token_and_to_none_it_lives_longer() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = robots(&standin, &redis.url(), 5);
    // The one that signs in has the wrong clock; the second has Redis's own.
    let (token, _) = token_with_clock(&homes[0], -600).unwrap();
    for (home, seconds, lives) in [(1, 0, 1180..=1200), (2, -600, 1780..=1800), (3, -3600, 1780..=1800)] {
        let (same, life) = token_with_clock(&homes[home], seconds).unwrap();
        assert_eq!(same, token);
        assert!(lives.contains(&life), "clock {seconds:+} s: lives {life} s");
    }
    assert_eq!((standin.logins(), standin.refreshes()), (1, 0));
    // To one that is far ahead the token has no life left: it gets a new one.
    let (new, life) = token_with_clock(&homes[4], 7200).unwrap();
    assert!(new != token && life > 1700);

    standin.revoke_refresh_tokens();
    standin.add_account("robot", "changed", None);
    redis.connection();
    homes.iter().for_each(|home| drop(home.run(&["logout"]).ok()));
    drop(::redis::cmd("DEL").arg(redis.key(":token")).exec(&mut redis.connection()));
    assert_eq!(token_with_clock(&homes[0], -600).unwrap_err().kind(), ErrorKind::Rejected);
    let asked = standin.count("password", 401);
    for (home, seconds) in [(1, 0), (2, 600), (3, -3600)] {
        let error = token_with_clock(&homes[home], seconds).unwrap_err();
        assert!(error.to_string().contains("is not tried again before"), "{error}");
    }
    assert_eq!((asked, standin.count("password", 401)), (1, 1));
}

/// Whatever becomes of Redis, a machine that can sign in has its token, in time, and says what is wrong.
fn assert_goes_on_alone(home: &Home, expected: &str) {
    let asked = Instant::now();
    let answer = home.run(&["token", "--force-login", "--timeout", "20s"]);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let warning = answer.stderr.lines().find(|line| line.contains("warning: the shared cache at")).unwrap_or_default();
    assert!(warning.contains(expected), "expected {expected:?}: {}", answer.stderr);
    answer.ok();
    let doctor = home.run(&["doctor", "--timeout", "20s"]);
    assert!(doctor.code == 7 && doctor.stdout.contains("WRONG  shared cache"), "{doctor:?}");
    assert!(home.run(&["status", "--timeout", "20s"]).ok().contains("cannot be used"));
}

#[test]
fn a_redis_that_does_not_do_its_work_is_left_out() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let home = &robots(&standin, &redis.url(), 1)[0];
    home.run(&["token"]).ok();
    let set = |name: &str, value: &str| {
        ::redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut redis.connection()).unwrap();
    };

    set("maxmemory", "1");
    assert_goes_on_alone(home, "it is full");
    set("maxmemory", "0");

    ::redis::cmd("REPLICAOF").arg("127.0.0.1").arg(redis.port()).exec(&mut redis.connection()).unwrap();
    assert_goes_on_alone(home, "it is a replica, which cannot be written");
    ::redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut redis.connection()).unwrap();

    let wrong = home.shell(&format!("APIGEE_CREDENTIAL_CACHE_PASSWORD=p {PROGRAM} doctor"));
    assert!(wrong.stdout.contains("it does not accept the user, the password"), "{}", wrong.stdout);

    set("requirepass", "p");
    assert_goes_on_alone(home, "it asks for a password");

    home.shell(&format!("kill -STOP {}", redis.pid())).ok();
    assert_goes_on_alone(home, "it did not answer in time");
    home.shell(&format!("kill -CONT {}", redis.pid())).ok();
}

#[test]
fn junk_instead_of_redis_is_left_out() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let answers: [(&[u8], &str); 9] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not answer as Redis does"),
        (b"*9223372036854775807\r\n", "it closed the connection"),
        (b"$9223372036854775807\r\nabc", "it closed the connection"),
        (b"*2\r\n$1\r\nx\r\n$1\r\ny\r\n$-1\r\n$-1\r\n", "it does not answer as Redis does"),
        (b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n", "it does not answer as Redis does"),
        (
            b"-ERR unknown command 'TIME', with args beginning with: 'hunter2'\r\n-ERR\r\n-ERR\r\n",
            "it answers with an error",
        ),
        (b"-MOVED 1234 10.0.0.1:6379\r\n-X\r\n-X\r\n", "a cluster"),
        (b"-LOADING x\r\n-LOADING x\r\n-LOADING x\r\n", "it is not ready yet"),
        (b"", "it closed the connection"),
    ];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let current = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let answer = current.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let answer = answer.lock().unwrap().clone();
            let pieces = if answer == DRIPPING { answer.chunks(1) } else { answer.chunks(answer.len().max(1)) };
            for piece in pieces {
                let _ = stream.write_all(piece);
                thread::sleep(Duration::from_millis(if piece.len() == 1 { 300 } else { 0 }));
            }
        }
    });
    let ca = home.ca_bundle(&standin);
    let arguments = ["setup", "--stdin", "--username", "robot", "--ca-bundle", &ca, "--shared-cache", &url];
    home.run_with(&[&arguments[..], &["--timeout", "20s"]].concat(), ROBOT).ok();
    for (bytes, expected) in answers {
        *current.lock().unwrap() = bytes.to_vec();
        assert_goes_on_alone(&home, expected);
        assert!(!home.run(&["doctor", "--timeout", "20s"]).stdout.contains("hunter2"));
    }
    // An answer that never ends is not read to its end, and one that drips is not waited for.
    *current.lock().unwrap() = [b"$99999999\r\n".to_vec(), vec![b'x'; 4_000_000]].concat();
    assert_goes_on_alone(&home, "it does not answer as Redis does");
    *current.lock().unwrap() = DRIPPING.to_vec();
    assert_goes_on_alone(&home, "it did not answer in time");
}

#[test]
fn over_tls_with_a_user_of_few_rights_and_only_with_the_password() {
    let pki = tempfile::tempdir().unwrap();
    let path = |name: &str| pki.path().join(name).to_str().unwrap().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(path("cert.pem"), certificate.pem()).unwrap();
    fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let tls =
        ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"];
    // What docs/fleet.md asks for, and no more.
    let rights = "~apigee-credential:* resetchannels -@all +select +get +set +del +pexpire +time +eval +info";
    let user = format!("--user default off --user ci on >s&cr+t {rights}");
    let Some(redis) = Redis::with(&[&tls[..], &user.split(' ').collect::<Vec<_>>()].concat()) else { return };
    let standin = Standin::start();
    let url = format!("rediss://ci@localhost:{}/3", redis.port());
    let secrets = secrets_json(PASSWORD).replace('}', r#","cache_password":"s&cr+t"}"#);

    // The stand-in's authority alone is not Redis's.
    let untrusting = &described(&standin, &url, 1, USERNAME, &secrets)[0];
    let doctor = untrusting.run(&["doctor"]);
    assert!(doctor.stdout.contains("its certificate is not trusted"), "{}", doctor.stdout);

    let homes = described(&standin, &url, 3, USERNAME, &secrets);
    fs::write(homes[0].path("ca.pem"), format!("{}{}", standin.ca_pem(), certificate.pem())).unwrap();
    the_token(crowd(&homes, 2, &["token"]));
    assert_eq!(standin.logins(), 1);
    let doctor = homes[1].run(&["doctor"]).ok();
    assert!(doctor.contains("ok     shared cache   rediss://ci@localhost:") && doctor.contains("over TLS"), "{doctor}");
    let status = homes[1].run(&["status", "--json"]).ok();
    assert!(status.contains(r#""tls": true"#) && status.contains(r#""reachable": true"#), "{status}");
    assert!(status.contains(r#""unopened": 0"#), "{status}");

    // The environment's password goes before the store's.
    let mut stranger = Home::new();
    stranger.copy_config(&homes[0]);
    stranger.set("APIGEE_CREDENTIAL_CACHE_PASSWORD", "wrong");
    let doctor = stranger.run(&["doctor"]);
    assert!(doctor.stdout.contains("it does not accept the user and password"), "{}", doctor.stdout);
    stranger.set("APIGEE_CREDENTIAL_CACHE_PASSWORD", "s&cr+t");
    stranger.run(&["token"]).ok();
    assert_eq!((standin.logins(), standin.count("password", 401)), (1, 0));
    let shown = stranger.run(&["exec", "--", "env"]).ok();
    assert!(!shown.contains("CACHE_PASSWORD"), "{shown}");
}

#[test]
fn valkey_does_as_well() {
    let Some(valkey) = Redis::valkey() else { return };
    let standin = Standin::start();
    let homes = machines(&standin, &valkey.url().replace("redis:", "valkey:"), 10);
    the_token(crowd(&homes, 3, &["token", "--timeout", "120s"]));
    the_token(crowd(&homes, 1, &["token"]));
    assert_eq!(standin.state().log.len(), 1);
    homes[0].run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.logins(), standin.refreshes()), (1, 1));
    assert!(homes[1].run(&["doctor"]).ok().contains("ok     shared cache"));
}

#[test]
fn a_shared_cache_is_described_by_setup_and_its_mistakes_are_told() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let home = &robots(&standin, &redis.url(), 1)[0];
    let config = || fs::read_to_string(home.config()).unwrap();
    let (host, ca) = (standin.host(), home.ca_bundle(&standin));
    let again = |more: &[&str], secrets: &str| {
        let arguments = ["setup", "--stdin", "--api-host", &host, "--ca-bundle", &ca];
        home.run_with(&[&arguments[..], more].concat(), secrets)
    };
    for (url, told) in [
        ("redis://cache.example", "allow-plain-redis"),
        ("rediss://u:hunter2@cache.example", "cache_password"),
        ("https://cache.example", "neither rediss:// nor redis://"),
    ] {
        let before = config();
        let error = again(&["--shared-cache", url], ROBOT).fails(2);
        assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        assert_eq!(config(), before);
        fs::write(home.config(), before.replace(&redis.url(), url)).unwrap();
        let error = home.run(&["token"]).fails(2);
        assert!(error.contains(told) && error.contains("config.toml:") && !error.contains("hunter2"), "{error}");
        fs::write(home.config(), before).unwrap();
    }
    // A login by setup is the fleet's, and what setup does not name stays.
    again(&[], r#"{"password":"p","cache_password":"c"}"#).ok();
    again(&[], ROBOT).ok();
    assert!(config().contains(&redis.url()), "{}", config());
    assert!(fs::read_to_string(home.path("secrets.json")).unwrap().contains(r#""cache_password":"c""#));
    again(&["--shared-cache", "none"], ROBOT).ok();
    assert!(!config().contains("shared-cache"), "{}", config());
}

#[test]
fn who_has_no_password_to_seal_with_goes_on_alone() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let home = &robots(&standin, &redis.url(), 1)[0];
    fs::write(home.path("secrets.json"), r#"{"shared_secret":"JBSWY3DPEHPK3PXP"}"#).unwrap();
    let answer = home.run(&["token"]);
    assert!(answer.stderr.contains("the shared cache is left out"), "{}", answer.stderr);
    answer.fails(3);
    let arguments = ["setup", "--passcode", "--zone", "acme", "--shared-cache", &redis.url()];
    let error = Home::new().run(&[&arguments[..], &["--username", "me"]].concat()).fails(2);
    assert!(error.contains("--passcode does not go with a shared cache"), "{error}");
}

#[test]
fn a_warm_call_asks_redis_nothing_and_one_that_finds_the_fleets_token_three_things() {
    let Some(redis) = Redis::start() else { return };
    let standin = Standin::start();
    let homes = robots(&standin, &redis.url(), 2);
    homes[0].run(&["token"]).ok();
    let mut connection = redis.connection();
    let mut commands = || redis.commands(&mut connection);
    let mut asked_by = |home: &Home| {
        let before = commands();
        home.run(&["token"]).ok();
        // Less the question itself.
        commands() - before - 1
    };
    assert_eq!(asked_by(&homes[1]), 3, "TIME and two GET");
    assert_eq!(asked_by(&homes[1]), 0);
}

#[test]
fn status_does_not_wait_long_for_a_keychain_that_is_locked() {
    let Some(redis) = Redis::start() else { return };
    let Some((standin, mut keyring, mut home)) = desktop() else { return };
    standin.add_account("robot", "p", None);
    let (url, ca, cache) = (standin.url(), home.ca_bundle(&standin), redis.url());
    let arguments = ["setup", "--stdin", "--username", "robot", "--login-url", &url, "--ca-bundle", &ca];
    home.run_with(&[&arguments[..], &["--shared-cache", &cache]].concat(), ROBOT).ok();
    assert!(home.run(&["status"]).ok().contains("its token has"));
    keyring.lock();
    keyring.enter(&mut home);
    let asked = Instant::now();
    assert!(home.run(&["status"]).ok().contains("the keychain"));
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
    home.run(&["token"]).ok();
}
