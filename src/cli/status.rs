//! `status`: what is known about the profile, never a secret.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::arguments::StatusArguments;
use super::{Context, answer};
use crate::clock::Clock;
use crate::error::Result;
use crate::profile::Profile;

#[derive(Serialize)]
struct Status<'a> {
    profile: &'a str,
    username: &'a str,
    login_url: &'a str,
    api_hosts: &'a [String],
    secret_store: &'static str,
    mfa: &'static str,
    token: Option<TokenStatus>,
    last_login: Option<String>,
    held_back: Option<HeldBack>,
    clock_skew_seconds: i64,
    next: Next,
}

#[derive(Serialize)]
struct TokenStatus {
    obtained_at: String,
    age_seconds: u64,
    expires_at: String,
    expires_in: u64,
    fresh: bool,
    renewable: bool,
}

#[derive(Serialize)]
struct HeldBack {
    since: String,
    until: String,
    reason: String,
}

/// What the next call for a token would do.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Next {
    Cache,
    Refresh,
    Login,
    HeldBack,
}

pub(super) fn run(context: &Context, arguments: &StatusArguments) -> Result<()> {
    let profile = context.profile()?;
    let status = examine(context, &profile)?;
    if arguments.json {
        return answer(&format!("{}\n", serde_json::to_string_pretty(&status).expect("strings and numbers are JSON")));
    }
    answer(&status.to_text())
}

fn examine<'a>(context: &Context, profile: &'a Profile) -> Result<Status<'a>> {
    let (cached, account) = context.broker(profile).state()?;
    let now = context.clock.now();
    let token = cached.map(|cached| TokenStatus {
        obtained_at: rfc3339(cached.token.obtained),
        age_seconds: Duration::try_from(now.duration_since(cached.token.obtained)).unwrap_or_default().as_secs(),
        expires_at: rfc3339(cached.token.expires),
        expires_in: cached.token.life(now).as_secs(),
        fresh: cached.token.is_fresh(now, crate::broker::Request::default().min_validity),
        renewable: cached.renewable,
    });
    let held_back = account.rejection.filter(|rejection| rejection.holds(now)).map(|rejection| HeldBack {
        since: rfc3339(rejection.at),
        until: rfc3339(rejection.until),
        reason: rejection.reason,
    });
    let next = match &token {
        Some(token) if token.fresh => Next::Cache,
        Some(token) if token.renewable => Next::Refresh,
        _ if held_back.is_some() => Next::HeldBack,
        _ => Next::Login,
    };
    Ok(Status {
        profile: &profile.name,
        username: &profile.username,
        login_url: &profile.login_url,
        api_hosts: &profile.api_hosts,
        secret_store: profile.store.name(),
        mfa: profile.mfa.name(),
        token,
        last_login: account.last_login.map(rfc3339),
        held_back,
        clock_skew_seconds: account.skew,
        next,
    })
}

impl Status<'_> {
    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        line("profile", self.profile);
        line("account", self.username);
        line("login service", self.login_url);
        line("API hosts", &self.api_hosts.join(", "));
        line("secrets", &format!("{} store, MFA: {}", self.secret_store, self.mfa));
        line(
            "token",
            &match &self.token {
                None => "none cached".to_owned(),
                Some(token) if token.expires_in == 0 => format!("expired at {}", token.expires_at),
                Some(token) => format!(
                    "{} old, {} left (until {})",
                    span(token.age_seconds),
                    span(token.expires_in),
                    token.expires_at
                ),
            },
        );
        line("last login", self.last_login.as_deref().unwrap_or("none known"));
        if self.clock_skew_seconds != 0 {
            line("clock", &format!("{:+} s at the login service", self.clock_skew_seconds));
        }
        if let Some(held_back) = &self.held_back {
            line("held back", &format!("until {}: {}", held_back.until, held_back.reason));
        }
        line(
            "next call",
            match self.next {
                Next::Cache => "answers from the cache",
                Next::Refresh => "refreshes the token",
                Next::Login => "signs in (or refreshes, where a refresh token is kept)",
                Next::HeldBack => "fails: the last login was rejected",
            },
        );
        text
    }
}

fn rfc3339(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
