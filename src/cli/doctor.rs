//! `doctor`: check every part, and say how to mend what is wrong.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::arguments::DoctorArguments;
use super::{Context, answer};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::login::HttpLoginService;
use crate::profile::{Mfa, Profile, RedisUrl};

/// A clock that is further off than this makes MFA tokens fail.
const TOLERABLE_SKEW_SECONDS: u64 = 15;

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    kind: Option<ErrorKind>,
}

impl Check {
    fn new(name: &'static str, outcome: Result<String>) -> Self {
        match outcome {
            Ok(detail) => Check { name, ok: true, detail, hint: None, kind: None },
            Err(e) => Check { name, ok: false, detail: e.to_string(), hint: e.hint_line(), kind: Some(e.kind()) },
        }
    }
}

/// Unlike every other command it answers even when it fails: the report is its answer.
#[inline(never)]
pub(super) fn run(context: &Context, arguments: &DoctorArguments) -> Result<()> {
    let checks = examine(context);
    let failed: Vec<_> = checks.iter().filter_map(|check| check.kind).collect();
    let report = Report { ok: failed.is_empty(), checks };
    if arguments.json {
        answer(&format!("{}\n", serde_json::to_string_pretty(&report).expect("strings are JSON")))?;
    } else {
        answer(&report.to_text())?;
    }
    match failed.first() {
        None => Ok(()),
        Some(kind) => Err(Error::new(*kind, format!("{} of {} checks failed", failed.len(), report.checks.len()))),
    }
}

fn examine(context: &Context) -> Vec<Check> {
    let profile = context.profile();
    let detail = |profile: &Profile| {
        format!(
            "profile {} ({} at {}) in {}",
            profile.name,
            profile.username,
            profile.login_url,
            context.places.config.display()
        )
    };
    let mut checks = vec![Check::new("configuration", profile.as_ref().map(detail).map_err(Clone::clone))];
    if let Ok(profile) = profile {
        checks.push(Check::new("secret store", secret_store(context, &profile)));
        checks.push(Check::new("cache", cache(context, &profile)));
        if let Some(url) = &profile.shared_cache {
            checks.push(Check::new("shared cache", shared_cache(context, &profile, url)));
        }
        checks.push(Check::new("account", account(context, &profile)));
        let (service, clock) = login_service(context, &profile);
        checks.push(Check::new("login service", service));
        checks.extend(clock.map(|clock| Check::new("clock", clock)));
    }
    checks
}

fn secret_store(context: &Context, profile: &Profile) -> Result<String> {
    let broker = context.broker(profile);
    let secrets = broker.store().secrets(broker.deadline())?;
    let missing = match (&secrets.password, &secrets.shared_secret, &profile.mfa) {
        (None, _, _) if profile.zone.is_none() => Some("password"),
        (_, None, Mfa::SharedSecret) => Some("shared secret"),
        _ => None,
    };
    match missing {
        None => Ok(format!("the {} store has what this account signs in with", profile.store.name())),
        Some(missing) => {
            Err(Error::new(ErrorKind::NotSetUp, format!("the {} store has no {missing}", profile.store.name()))
                .hint(format!("run `apigee-credential setup --profile {}`", profile.name)))
        }
    }
}

fn cache(context: &Context, profile: &Profile) -> Result<String> {
    let broker = context.broker(profile);
    let place = context.places.cache.display();
    broker.check_cache().map(|cached| match cached {
        Some(cached) => {
            format!("{place}; a token with {} s left", cached.token.life(context.clock.now()).as_secs())
        }
        None => format!("{place}; no token yet"),
    })
}

fn shared_cache(context: &Context, profile: &Profile, url: &RedisUrl) -> Result<String> {
    let state = context.broker(profile).shared_cache().expect("the profile names one")?;
    if state.unopened > 0 {
        let message = format!("{url} holds {} values that were not sealed by this account", state.unopened);
        return Err(Error::new(ErrorKind::Cache, message)
            .hint("they are left alone and replaced at the next renewal; find out who else writes there"));
    }
    let tls = if url.tls { "over TLS" } else { "without TLS" };
    let token = match state.token {
        Some(token) => format!("a token with {} s left", token.life(context.clock.now()).as_secs()),
        None => "no token yet".to_owned(),
    };
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    Ok(format!(
        "{url} {tls}: connected in {:.1} ms, answers in {:.1} ms, its clock is {:+} s from this machine's; {token}",
        millis(state.connect),
        millis(state.latency),
        state.clock_offset
    ))
}

fn account(context: &Context, profile: &Profile) -> Result<String> {
    let (_, account) = context.broker(profile).state()?;
    match account.rejection.filter(|rejection| rejection.holds(context.clock.now())) {
        None => Ok("no login was rejected lately".to_owned()),
        Some(rejection) => Err(Error::new(
            ErrorKind::Rejected,
            format!("logins are held back until {:.0}: {}", rejection.until, rejection.reason),
        )
        .hint(format!("correct the secrets with `apigee-credential setup --profile {}`", profile.name))),
    }
}

/// What the login service is like, and what it says of the clock, if it says anything.
fn login_service(context: &Context, profile: &Profile) -> (Result<String>, Option<Result<String>>) {
    let broker = context.broker(profile);
    let answer = broker.client_secret(broker.deadline()).and_then(|secret| {
        HttpLoginService::new(profile)
            .knock(secret.as_ref(), broker.deadline().left(&context.clock))
            .map_err(crate::broker::into_error)
    });
    match answer {
        Err(e) => (Err(e), None),
        Ok(date) => {
            let detail =
                format!("{} is trusted, speaks OAuth and knows client {}", profile.login_url, profile.client_id);
            (Ok(detail), date.map(|date| clock(date.duration_since(context.clock.now()).as_secs())))
        }
    }
}

fn clock(skew: i64) -> Result<String> {
    if skew.unsigned_abs() <= TOLERABLE_SKEW_SECONDS {
        return Ok(format!("this machine's clock agrees with the login service's ({skew:+} s)"));
    }
    Err(Error::new(ErrorKind::Unexpected, format!("the login service's clock is {skew:+} s from this machine's"))
        .hint("set this machine's clock (NTP); MFA tokens follow the service's clock meanwhile"))
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let verdict = if check.ok { "ok   " } else { "WRONG" };
            let _ = writeln!(text, "{verdict}  {:<13}  {}", check.name, check.detail);
            if let Some(hint) = &check.hint {
                let _ = writeln!(text, "{:>22}{hint}", "");
            }
        }
        text
    }
}
