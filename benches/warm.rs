//! Times warm calls against `/bin/true` in the same run, turn by turn, and prints the table of
//! docs/performance.md, with the peers that are installed.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../tests/standin/mod.rs"]
mod standin;
mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Warm, peak_memory};

const ROUNDS: usize = 1500;

fn main() {
    let warm = Warm::up();
    let ask = warm.path("ask");
    fs::write(&ask, "protocol=https\nhost=api.enterprise.apigee.com\n\n").unwrap();

    println!("| what | against /bin/true: median | 99th percentile |");
    println!("| --- | --- | --- |");
    let run = |command: &mut Command| {
        let start = Instant::now();
        assert!(command.status().unwrap().success());
        start.elapsed()
    };
    let program = |arguments: &[&str]| {
        let mut command = warm.command(&warm.program);
        command.args(arguments);
        command
    };
    let compare = |what: &str, rounds: usize, mut ours: Box<dyn FnMut() -> Command>| {
        let (mut base, mut times) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            base.push(run(&mut warm.command("/bin/true")));
            times.push(run(&mut ours()));
        }
        println!("| {what} | {:.2} | {:.2} |", ratio(&times, &base, 0.5), ratio(&times, &base, 0.99));
    };
    let ask_file = ask.clone();
    compare("warm `token`", ROUNDS, Box::new(move || program(&["token"])));
    compare(
        "warm `token --format exec-credential`",
        ROUNDS,
        Box::new(move || program(&["token", "--format", "exec-credential"])),
    );
    compare(
        "warm `get`",
        ROUNDS,
        Box::new(move || {
            let mut get = program(&["get"]);
            get.stdin(fs::File::open(&ask_file).unwrap());
            get
        }),
    );

    let config_file = warm.path("config/apigee-credential/config.toml");
    let config = fs::read_to_string(&config_file).unwrap();
    let (head, profile) = config.split_at(config.find("[profile.").unwrap());
    let others: String = (0..99).map(|i| profile.replace("[profile.work]", &format!("[profile.other{i}]"))).collect();
    fs::write(&config_file, format!("{head}{others}{profile}")).unwrap();
    compare("warm `token`, 100 profiles", ROUNDS, Box::new(move || program(&["token"])));
    fs::write(&config_file, &config).unwrap();

    for (what, peer) in [
        ("`git credential-store get`", &["git", "credential-store", "get"][..]),
        ("`node -e 0`", &["node", "-e", "0"]),
        ("`python3 -c 0`", &["python3", "-c", "0"]),
    ] {
        let command = move || {
            let mut command = Command::new(peer[0]);
            command.args(&peer[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        if command().status().is_ok() {
            compare(what, 40, Box::new(command));
        }
    }

    println!();
    let throughput = |command: &(dyn Fn() -> Command + Sync)| {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..125).for_each(|_| assert!(command().status().unwrap().success())));
            }
        });
        1000.0 / start.elapsed().as_secs_f64()
    };
    let base = throughput(&|| warm.command("/bin/true"));
    println!(
        "1,000 warm calls from 8 callers: {:.2} of /bin/true's throughput",
        throughput(&|| program(&["token"])) / base
    );

    if let (Some(ours), Some(base)) = (peak_memory(program(&["token"])), peak_memory(warm.command("/bin/true"))) {
        println!("peak memory, warm: {ours} KiB, {:.2} of /bin/true's", ours as f64 / base as f64);
    }
    println!("binary: {:.2} MB", fs::metadata(&warm.program).unwrap().len() as f64 / 1e6);

    let form = warm.path("form");
    fs::write(&form, "username=robot&password=p&grant_type=password").unwrap();
    let url = format!("{}/oauth/token", warm.standin.url());
    let (mut ours, mut curls) = (Vec::new(), Vec::new());
    for _ in 0..80 {
        ours.push(run(&mut program(&["token", "--force-login"])));
        let mut curl = warm.command("/usr/bin/curl");
        curl.args(["-sf", "--cacert", "ca.pem", "-u", "edgecli:edgeclisecret", "--data-binary", "@form", &url]);
        curls.push(run(&mut curl));
    }
    println!("cold login against curl's POST: {:.2} (median)", ratio(&ours, &curls, 0.5));

    warm.standin.state().think_time = Duration::from_millis(500);
    assert!(program(&["logout"]).status().unwrap().success());
    let start = Instant::now();
    let children: Vec<_> = (0..200).map(|_| program(&["token"]).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    println!("200 processes on an empty cache: login time + {} ms", start.elapsed().as_millis() - 500);
}

fn ratio(ours: &[Duration], base: &[Duration], quantile: f64) -> f64 {
    let at = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[(times.len() as f64 * quantile) as usize].as_secs_f64()
    };
    at(ours) / at(base)
}
