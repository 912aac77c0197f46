//! `status`: what is known about the profile, never a secret.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::arguments::StatusArguments;
use super::{Context, answer};
use crate::cache::SharedState;
use crate::clock::Clock;
use crate::error::Result;
use crate::profile::{Profile, RedisUrl};

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
    shared_cache: Option<SharedCacheStatus>,
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
struct SharedCacheStatus {
    url: String,
    tls: bool,
    reachable: bool,
    #[serde(flatten)]
    content: Option<SharedContent>,
    trouble: Option<String>,
}

#[derive(Serialize)]
struct SharedContent {
    connect_ms: f64,
    latency_ms: f64,
    clock_offset_seconds: i64,
    token_expires_in: Option<u64>,
    /// Values that do not open with this account's secrets.
    unopened: usize,
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

#[inline(never)]
pub(super) fn run(context: &Context, arguments: &StatusArguments) -> Result<()> {
    let profile = context.profile()?;
    let status = examine(context, &profile)?;
    if arguments.json {
        return answer(&format!("{}\n", serde_json::to_string_pretty(&status).expect("strings and numbers are JSON")));
    }
    answer(&status.to_text())
}

fn examine<'a>(context: &Context, profile: &'a Profile) -> Result<Status<'a>> {
    let broker = context.broker(profile);
    let (cached, account) = broker.state()?;
    let shared_cache = profile.shared_cache.as_ref().zip(broker.shared_cache());
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
        shared_cache: shared_cache.map(|(url, state)| SharedCacheStatus::new(url, state, now)),
        next,
    })
}

impl SharedCacheStatus {
    fn new(url: &RedisUrl, state: Result<SharedState>, now: Timestamp) -> Self {
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
        let trouble = state.as_ref().err().map(ToString::to_string);
        let content = state.ok().map(|state| SharedContent {
            connect_ms: millis(state.connect),
            latency_ms: millis(state.latency),
            clock_offset_seconds: state.clock_offset,
            token_expires_in: state.token.map(|token| token.life(now).as_secs()),
            unopened: state.unopened,
        });
        SharedCacheStatus { url: url.to_string(), tls: url.tls, reachable: content.is_some(), content, trouble }
    }

    fn to_text(&self) -> String {
        let Some(content) = &self.content else { return self.trouble.clone().unwrap_or_default() };
        let holds = match content.token_expires_in {
            _ if content.unopened > 0 => "holds what was not sealed by this account".to_owned(),
            None => "holds no token".to_owned(),
            Some(left) => format!("its token has {} left", span(left)),
        };
        let tls = if self.tls { "TLS" } else { "no TLS" };
        format!("{} ({tls}) answers in {} ms; {holds}", self.url, content.latency_ms)
    }
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
        if let Some(shared_cache) = &self.shared_cache {
            line("shared cache", &shared_cache.to_text());
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
