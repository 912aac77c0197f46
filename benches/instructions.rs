//! Counts what a warm call costs: instructions by callgrind, system calls by strace. With `--check`, fails when
//! a count has grown by more than a tenth over its budget. The counts do not depend on the machine's load.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../tests/standin/mod.rs"]
mod standin;
mod support;

use std::process::{Command, ExitCode, Stdio};

use support::{PROGRAM, Warm};

/// Of the last change that meant to change them, on x86-64 with glibc 2.36.
const BUDGET: [(&str, &[&str], u64); 3] = [
    ("token", &["token"], 166_000),
    ("token --format exec-credential", &["token", "--format", "exec-credential"], 180_000),
    ("get", &["get"], 170_000),
];
const SYSTEM_CALLS: u64 = 32;

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    let warm = Warm::up();
    let ask = warm.path("ask");
    std::fs::write(&ask, "protocol=https\nhost=api.enterprise.apigee.com\n\n").unwrap();
    let mut within = true;
    let mut report = |what: &str, count: u64, budget: u64| {
        let verdict = if count * 10 > budget * 11 { "OVER" } else { "ok" };
        within &= verdict == "ok";
        println!("{what:<44} {count:>9}   budget {budget:>9}   {verdict}");
    };
    for (what, arguments, budget) in BUDGET {
        let mut valgrind = warm.command("/usr/bin/valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAM]).args(arguments);
        valgrind.stdin(std::fs::File::open(&ask).unwrap());
        report(&format!("{what}: instructions"), number_behind(valgrind, "Collected :"), budget);
    }
    let mut strace = warm.command("/usr/bin/strace");
    strace.args(["-f", "-c", "-U", "calls,name", PROGRAM, "token"]);
    report("token: system calls", number_before(strace, "total"), SYSTEM_CALLS);
    let mut valgrind = Command::new("/usr/bin/valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "/bin/true"]).env_clear();
    println!("{:<44} {:>9}", "/bin/true: instructions", number_behind(valgrind, "Collected :"));
    if within || !check { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn told(mut command: Command) -> String {
    let output =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("valgrind and strace are installed");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn number_behind(command: Command, mark: &str) -> u64 {
    let told = told(command);
    let (_, number) = told.split_once(mark).unwrap_or_else(|| panic!("{told}"));
    number.split_whitespace().next().unwrap().parse().unwrap()
}

fn number_before(command: Command, mark: &str) -> u64 {
    let told = told(command);
    let line = told.lines().find(|line| line.trim_end().ends_with(mark)).unwrap_or_else(|| panic!("{told}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}
