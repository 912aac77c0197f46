//! Counts what a warm call costs: instructions by callgrind, system calls by strace, memory by GNU time. With
//! `--check`, fails when one has grown by more than a tenth over its budget. None depends on the machine's load.
//!
//! With `--order`, writes warm.order instead: the functions that warm calls run, for `build.rs` to lay out
//! together. To be done after a change of the compiler, of Cargo.lock or of the warm path.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../tests/standin/mod.rs"]
mod standin;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use support::{Warm, peak_memory};

/// Of the last change that meant to change them, on x86-64 with glibc 2.36.
const BUDGET: [(&str, &[&str], u64); 3] = [
    ("token", &["token"], 166_000),
    ("token --format exec-credential", &["token", "--format", "exec-credential"], 180_000),
    ("get", &["get"], 170_000),
];
const SYSTEM_CALLS: u64 = 32;
/// Peak memory, in hundredths of /bin/true's.
const MEMORY: u64 = 136;

/// What glibc calls its functions for AVX-512, where those of AVX2 have `avx2` or `avx_unaligned_erms`.
const NEWER_VERSIONS: [&str; 4] = ["evex", "evex_movbe", "evex_unaligned_erms", "avx512_unaligned_erms"];

fn main() -> ExitCode {
    let is_given = |option: &str| std::env::args().any(|argument| argument == option);
    let warm = Warm::up();
    let ask = warm.path("ask");
    fs::write(&ask, "protocol=https\nhost=api.enterprise.apigee.com\n\n").unwrap();
    if is_given("--order") {
        write_order(&warm, &ask);
        return ExitCode::SUCCESS;
    }
    let mut within = true;
    let mut report = |what: &str, count: u64, budget: u64| {
        let verdict = if count * 10 > budget * 11 { "OVER" } else { "ok" };
        within &= verdict == "ok";
        println!("{what:<44} {count:>9}   budget {budget:>9}   {verdict}");
    };
    for (what, arguments, budget) in BUDGET {
        let mut valgrind = warm.command("/usr/bin/valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&warm.program).args(arguments);
        valgrind.stdin(File::open(&ask).unwrap());
        report(&format!("{what}: instructions"), number_behind(valgrind, "Collected :"), budget);
    }
    let mut strace = warm.command("/usr/bin/strace");
    strace.args(["-f", "-c", "-U", "calls,name"]).arg(&warm.program).arg("token");
    report("token: system calls", number_before(strace, "total"), SYSTEM_CALLS);
    let mut valgrind = Command::new("/usr/bin/valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "/bin/true"]).env_clear();
    println!("{:<44} {:>9}", "/bin/true: instructions", number_behind(valgrind, "Collected :"));
    let mut token = warm.command(&warm.program);
    token.arg("token");
    let [ours, base] =
        [token, warm.command("/bin/true")].map(|command| peak_memory(command).expect("GNU time is here"));
    report("token: peak memory, % of /bin/true's", ours * 100 / base, MEMORY);
    if within || !is_given("--check") {
        return ExitCode::SUCCESS;
    }
    println!("if only the memory is over, warm.order is out of date: cargo bench --bench instructions -- --order");
    ExitCode::FAILURE
}

/// The functions that warm calls run, by their symbols, from a build that has them.
fn write_order(warm: &Warm, ask: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/order");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["rustc", "--release", "--bin", "apigee-credential", "--target-dir"]).arg(&target);
    assert!(cargo.args(["--", "-C", "strip=none"]).status().unwrap().success());
    let program = fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("release/apigee-credential"))
        .find(|path| path.exists())
        .expect("cargo has built it");
    let mut symbols = BTreeSet::new();
    let profile = warm.path("callgrind");
    for (_, arguments, _) in BUDGET {
        let mut valgrind = warm.command("/usr/bin/valgrind");
        valgrind.args(["--tool=callgrind", "--demangle=no", "--callgrind-out-file=callgrind"]).arg(&program);
        valgrind.args(arguments).stdin(File::open(ask).unwrap());
        told(valgrind);
        // `fn=(12) symbol`, at its first mention; what has no symbol is told by its address.
        let text = fs::read_to_string(&profile).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")));
        let names = names.filter_map(|name| name.split_once(") ")).map(|(_, symbol)| symbol);
        symbols.extend(names.filter(|name| !name.starts_with(['(', '0']) && !name.contains('\'')).map(str::to_owned));
    }
    // A processor of today runs other versions of glibc's functions than the one that callgrind pretends to be.
    for (function, _) in symbols.clone().iter().filter_map(|name| name.split_once("_avx")) {
        symbols.extend(NEWER_VERSIONS.map(|version| format!("{function}_{version}")));
    }
    let lines: String = symbols.iter().map(|symbol| format!("{symbol}\n")).collect();
    fs::write(root.join("benches/warm.order"), lines).unwrap();
    println!("{} functions", symbols.len());
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
