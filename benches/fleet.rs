//! A day of ten thousand runners that share one account, simulated: the table of docs/fleet.md. The rules are those
//! of the broker and the shared cache; the times of the services are assumed.

#![allow(clippy::print_stdout, missing_docs)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

const RUNNERS: usize = 10_000;
const DAY: f64 = 86_400.0;
/// Between a runner's calls, on average: exponentially distributed.
const BETWEEN_CALLS: f64 = 60.0;
const TOKEN_LIFE: f64 = 1_800.0;
const REFRESH_TOKEN_LIFE: f64 = 12.0 * 3600.0;
const MIN_VALIDITY: f64 = 60.0;
/// A login and a refresh, from the lock to the published token.
const LOGIN: f64 = 0.8;
const REFRESH: f64 = 0.4;
/// Connecting to Redis over TLS and signing in, and each exchange.
const CONNECT: f64 = 0.005;
const EXCHANGE: f64 = 0.001;
/// The commands of a sign-in, a look, a try for the lock, and a renewal.
const SIGN_IN: u64 = 2;
const LOOK: u64 = 3;
const TRY: u64 = 4;
const RENEWAL: u64 = 6;
/// What the shared cache draws its waits from.
const PATIENCE: Range<f64> = 2.0..10.0;
const PAUSE: Range<f64> = 0.05..0.8;

/// What the runners share, and when that cannot be had.
enum Cache {
    Own,
    Shared { redis_is_away: Range<f64> },
}

#[derive(Default)]
struct Day {
    logins: Vec<f64>,
    refreshes: Vec<f64>,
    /// When Redis was asked, and how many things.
    commands: Vec<(f64, u64)>,
    /// How long each call waited, in seconds.
    waits: Vec<f64>,
}

/// The shared token, as of its publication.
#[derive(Default)]
struct Published {
    at: f64,
    expires: f64,
    refreshable_until: f64,
}

fn main() {
    println!(
        "| {RUNNERS} runners, one day | logins | most in a second | refreshes | commands to Redis | most in a second | calls that wait | 99.9% wait less than | longest wait |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    report("each with its own cache", &simulate(&Cache::Own));
    let always = simulate(&Cache::Shared { redis_is_away: 0.0..0.0 });
    report("a shared cache", &always);
    // From before a renewal to after it, and what was in Redis is lost.
    let away = 12_000.0..12_900.0;
    report("a shared cache, away for 15 min", &simulate(&Cache::Shared { redis_is_away: away }));

    let renewal = always.refreshes[0];
    println!("\ncommands to Redis in each second around a renewal:");
    for second in -2..28 {
        let from = renewal + f64::from(second);
        let count: u64 = always.commands.iter().filter(|(at, _)| (from..from + 1.0).contains(at)).map(|(_, n)| n).sum();
        print!("{count} ");
    }
    println!();
}

fn simulate(cache: &Cache) -> Day {
    let (mut day, mut random, mut published) = (Day::default(), Random(0x9e37_79b9_7f4a_7c15), Published::default());
    let mut expires = vec![0.0_f64; RUNNERS];
    // Times in microseconds, for they must be ordered.
    let mut calls: BinaryHeap<_> = (0..RUNNERS).map(|runner| Reverse((random.until_next_call(), runner))).collect();
    while let Some(Reverse((micros, runner))) = calls.pop() {
        let now = micros as f64 / 1e6;
        if now >= DAY {
            break;
        }
        let mut wait = 0.0;
        if expires[runner] - now < MIN_VALIDITY {
            (wait, expires[runner]) = match cache {
                // Its store keeps no refresh token, as on most build machines.
                Cache::Own => {
                    day.logins.push(now);
                    (LOGIN, now + TOKEN_LIFE)
                }
                Cache::Shared { redis_is_away } => shared(now, redis_is_away, &mut published, &mut day, &mut random),
            };
        }
        day.waits.push(wait);
        calls.push(Reverse((micros + (wait * 1e6) as u64 + random.until_next_call(), runner)));
    }
    day
}

/// How long a call waits that finds its own token stale, and when the token expires that it gets.
fn shared(now: f64, away: &Range<f64>, published: &mut Published, day: &mut Day, random: &mut Random) -> (f64, f64) {
    let mut at = now + CONNECT + EXCHANGE;
    if away.contains(&now) {
        let patience = random.between(&PATIENCE);
        if away.contains(&(now + patience)) {
            day.logins.push(now + patience);
            return (patience + LOGIN, now + patience + TOKEN_LIFE);
        }
        at = away.end + CONNECT + EXCHANGE;
    }
    if at >= away.end && published.at < away.end && !away.is_empty() {
        *published = Published::default();
    }
    day.commands.push((at, SIGN_IN + LOOK));
    if published.expires - at >= MIN_VALIDITY && published.at <= at {
        return (at - now, published.expires);
    }
    let mut pause = PAUSE.start;
    loop {
        at += EXCHANGE;
        day.commands.push((at, TRY));
        if published.expires - at < MIN_VALIDITY {
            let refreshes = published.refreshable_until > at;
            if !refreshes {
                published.refreshable_until = at + REFRESH_TOKEN_LIFE;
            }
            let (log, takes) = if refreshes { (&mut day.refreshes, REFRESH) } else { (&mut day.logins, LOGIN) };
            log.push(at);
            day.commands.push((at + takes, RENEWAL));
            (published.at, published.expires) = (at + takes, at + TOKEN_LIFE);
            return (at + takes - now, published.expires);
        }
        if published.at <= at {
            return (at - now, published.expires);
        }
        at += random.between(&(pause / 2.0..pause));
        pause = (pause * 2.0).min(PAUSE.end);
    }
}

fn report(what: &str, day: &Day) {
    let mut waits = day.waits.clone();
    waits.sort_by(f64::total_cmp);
    let waiting = waits.iter().filter(|wait| **wait > 0.1).count() as f64 / waits.len() as f64;
    let single = |times: &[f64]| times.iter().map(|at| (*at, 1)).collect::<Vec<_>>();
    println!(
        "| {what} | {} | {} | {} | {} | {} | {:.3} % | {:.2} s | {:.2} s |",
        day.logins.len(),
        busiest(&single(&day.logins)),
        day.refreshes.len(),
        day.commands.iter().map(|(_, count)| count).sum::<u64>(),
        busiest(&day.commands),
        waiting * 100.0,
        waits[waits.len() * 999 / 1000],
        waits.last().unwrap()
    );
}

/// The most in any second.
fn busiest(events: &[(f64, u64)]) -> u64 {
    let mut seconds = vec![0; DAY as usize + 60];
    events.iter().for_each(|(at, count)| seconds[*at as usize] += count);
    seconds.into_iter().max().unwrap_or(0)
}

/// Marsaglia's xorshift: the same day at every run.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, range: &Range<f64>) -> f64 {
        range.start + self.share() * (range.end - range.start)
    }

    /// In microseconds.
    fn until_next_call(&mut self) -> u64 {
        (-BETWEEN_CALLS * (1.0 - self.share()).ln() * 1e6) as u64
    }
}
