//! What a person at a terminal sees, and what nobody sees where there is none.

use crate::standin::Standin;
use crate::support::{Home, Outcome, PROGRAM, finish, have};
use std::time::Duration;

/// Runs the program on a pseudo-terminal; the outcome's standard output is what was seen.
fn at_a_terminal(home: &Home, arguments: &str) -> Outcome {
    let mut script = home.command("script");
    script.args(["-qec", &format!("{PROGRAM} {arguments}"), "/dev/null"]);
    finish(script, "")
}

const WAITING: &str = "asking the login service";
const DIM: &str = "\x1b[2m";
const CLEAR: &str = "\r\x1b[K";

#[test]
fn a_wait_is_shown_and_gone_when_it_is_over() {
    if !have(&["script"]) {
        return;
    }
    let standin = Standin::start();
    let mut home = Home::described(&standin);
    standin.state().think_time = Duration::from_millis(100);
    let seen = at_a_terminal(&home, "token").ok();
    assert!(seen.contains(&format!("{DIM}{WAITING}")), "{seen:?}");
    let (_, left) = seen.rsplit_once(CLEAR).unwrap();
    assert_eq!(left.trim_end(), home.run(&["token"]).ok().trim_end(), "nothing else is left on the screen");

    home.set("NO_COLOR", "1");
    let seen = at_a_terminal(&home, "token --force-login").ok();
    assert!(seen.contains("for the next MFA token"), "{seen:?}");
    assert!(seen.contains(WAITING) && !seen.contains(DIM), "{seen:?}");
    let seen = at_a_terminal(&home, "-q token --force-login").ok();
    assert!(!seen.contains(WAITING), "{seen:?}");
}

#[test]
fn another_processs_login_is_waited_for_in_sight() {
    if !have(&["script"]) {
        return;
    }
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().think_time = Duration::from_millis(1500);
    let mut first = home.command(PROGRAM).arg("token").stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let seen = at_a_terminal(&home, "token").ok();
    assert!(seen.contains("another process is signing in"), "{seen:?}");
    assert!(first.wait().unwrap().success());
    assert_eq!(standin.logins(), 1);
}

#[test]
fn without_a_terminal_a_call_that_succeeds_is_silent() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let cold = home.run(&["token"]);
    assert_eq!((cold.code, cold.stderr.as_str()), (0, ""));
    let warm = home.run(&["token"]);
    assert_eq!((warm.code, warm.stderr.as_str()), (0, ""));
}
