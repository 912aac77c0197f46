//! `otp` against oathtool, the other maker of MFA tokens.

use std::time::{Duration, Instant};

use crate::standin::{SHARED_SECRET, Standin};
use crate::support::{Home, finish, have};

fn oathtool(home: &Home) -> String {
    let mut oathtool = home.command("oathtool");
    oathtool.args(["--totp", "--base32", SHARED_SECRET]);
    finish(oathtool, "").ok()
}

#[test]
fn the_mfa_token_is_oathtools() {
    if !have(&["oathtool"]) {
        return;
    }
    let standin = Standin::start();
    let home = Home::described(&standin);
    // A step may end between the three calls, but not twice.
    for attempt in 0.. {
        let (before, ours, after) = (oathtool(&home), home.run(&["otp"]).ok(), oathtool(&home));
        if ours == before && ours == after {
            break;
        }
        assert!(attempt < 3, "{before}{ours}{after}");
    }
}

#[test]
fn an_mfa_token_with_too_little_time_left_is_waited_out() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let now = || jiff::Timestamp::now().as_millisecond() as u64;
    let (asked, start) = (now(), Instant::now());
    home.run(&["otp", "--min-validity", "30s"]).ok();
    // Only the very start of a step has 30 s left.
    assert!(now() / 30_000 > asked / 30_000 || asked % 30_000 == 0);
    assert!(start.elapsed() < Duration::from_secs(32));
    let late = home.run(&["otp", "--min-validity", "30s", "--timeout", "1s"]);
    if late.code != 0 {
        late.fails(5);
    }
    home.run(&["otp", "--min-validity", "31s"]).fails(2);
}

#[test]
fn without_a_shared_secret_there_is_no_mfa_token() {
    let standin = Standin::start();
    let home = Home::new();
    home.set_up(&standin, &["--mfa", "none", "--no-verify"]).ok();
    home.run(&["otp"]).fails(2);
}
