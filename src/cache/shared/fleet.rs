//! What a fleet keeps in Redis for one account, and how it is asked for.
//!
//! All names begin with the account's, in braces so that one cluster slot holds them all:
//! - `lock`: the tag of the one whose turn it is, until it expires.
//! - `step:N`: the code of MFA step N was sent, or was about to be.
//! - `GROUP:token`, `GROUP:refresh`, `GROUP:account`: sealed, for those who have the same secrets.
//!
//! The machines' clocks may differ, so each measures how far Redis's clock is from its own. What is known of the
//! account is told by Redis's clock; a token by the clock of the machine that got it, with that machine's
//! distance from Redis's. Redis is not trusted with the time, either: nothing that it says of it makes a token
//! live longer.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use redis::{Pipeline, Value};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::connection::{Connection, Trouble, done};
use super::seal::{Kind, Sealer, random};
use crate::cache::{Account, Cached, hex};
use crate::json;
use crate::otp::STEP_SECONDS;
use crate::profile::{Profile, RedisUrl};
use crate::secret::Secret;
use crate::token::{Token, is_bearer_token};

/// The lock of a machine that is gone is anyone's after this time. A login takes a second; who waits for longer
/// than that, for the next MFA step, says every few seconds that it is still there.
pub(super) const LOCK_LIFE: Duration = Duration::from_secs(15);

/// A code is good for its step and perhaps those beside it.
const STEP_LIFE_SECONDS: u64 = 600;

/// What nobody has renewed for a day is forgotten.
const MEMORY_SECONDS: u64 = 86_400;

/// Another step of the clocks than this is not seen by those who count whole seconds.
const CLOCK_NOISE_SECONDS: i64 = 1;

/// Lets the lock go, or says that its owner is still there: only if it is the owner's.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
const EXTEND: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

/// One account's part of a Redis, for those who have its secrets.
pub(super) struct Fleet {
    url: RedisUrl,
    ca_bundle: Option<PathBuf>,
    password: Option<Secret>,
    account: String,
    sealer: Sealer,
    /// The name of this call among the lock's owners.
    tag: String,
    /// All of it ends by then.
    limit: Instant,
    connection: Option<Connection>,
    /// Redis's clock less this machine's, in seconds, as of the last look.
    offset: i64,
}

/// A token as it is sealed.
#[derive(Serialize, Deserialize)]
struct Published {
    #[serde(flatten)]
    cached: Cached,
    /// Redis's clock less that of the machine that got the token, in seconds.
    clock_offset: i64,
}

/// What a look at the fleet's values shows, by this machine's clock.
pub(crate) struct Seen {
    pub(crate) token: Option<Cached>,
    pub(crate) account: Option<Account>,
    /// Values that were there and did not open.
    pub(super) unopened: usize,
}

impl Fleet {
    /// The part of the account called `account`. Touches nothing yet.
    pub(super) fn new(
        profile: &Profile,
        url: &RedisUrl,
        account: &str,
        sealer: Sealer,
        password: Option<Secret>,
        limit: Instant,
    ) -> Self {
        Fleet {
            url: url.clone(),
            ca_bundle: profile.ca_bundle.clone(),
            password,
            account: account.to_owned(),
            sealer,
            tag: hex(&random::<16>()),
            limit,
            connection: None,
            offset: 0,
        }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Redis's clock less this machine's, in seconds, as of the last look.
    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    /// Looks at the values; `now` is this machine's time.
    pub(super) fn look(&mut self, now: Timestamp) -> Result<Seen, Trouble> {
        let mut commands = redis::pipe();
        self.get_values(&mut commands);
        let answers = self.ask(&commands)?;
        self.seen(answers, now)
    }

    /// Takes the lock if nobody has it, and looks at the values; true if it is ours now.
    pub(super) fn try_lock(&mut self, now: Timestamp) -> Result<(bool, Seen), Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("SET").arg(self.name("lock")).arg(&self.tag).arg("NX").arg("PX").arg(millis(LOCK_LIFE));
        self.get_values(&mut commands);
        let mut answers = self.ask(&commands)?;
        let locked = answers.remove(0) != Value::Nil;
        Ok((locked, self.seen(answers, now)?))
    }

    /// Writes something and removes it again, as the lock is taken and let go.
    pub(super) fn try_writing(&mut self) -> Result<(), Trouble> {
        let name = self.name("check");
        let mut commands = redis::pipe();
        commands.cmd("SET").arg(&name).arg(&self.tag).arg("PX").arg(millis(LOCK_LIFE));
        commands.cmd("EVAL").arg(RELEASE).arg(1).arg(&name).arg(&self.tag);
        self.ask(&commands).map(drop)
    }

    /// Says that the lock's owner is still there.
    pub(super) fn extend_lock(&mut self) -> Result<(), Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(EXTEND).arg(1).arg(self.name("lock")).arg(&self.tag).arg(millis(LOCK_LIFE));
        self.ask(&commands).map(drop)
    }

    /// Lets the lock go, if it is ours.
    pub(super) fn unlock(&mut self) -> Result<(), Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(RELEASE).arg(1).arg(self.name("lock")).arg(&self.tag);
        self.ask(&commands).map(drop)
    }

    /// Takes an MFA step for this machine; false if the code of that step was sent by another, or may have been:
    /// a Redis that has started since the step began does not know. The lock's owner is still there, too. `skew` is
    /// the login service's clock less this machine's.
    pub(super) fn claim_step(&mut self, step: u64, skew: i64) -> Result<bool, Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("SET").arg(self.step(step)).arg(&self.tag).arg("NX").arg("EX").arg(STEP_LIFE_SECONDS);
        commands.cmd("TIME");
        commands.cmd("EVAL").arg(EXTEND).arg(1).arg(self.name("lock")).arg(&self.tag).arg(millis(LOCK_LIFE));
        // Not everyone may ask this; then it is left out.
        commands.cmd("INFO").arg("server");
        let mut answers = self.send(&commands)?.into_iter();
        let claimed = done(answers.next().ok_or_else(Trouble::unspoken)?)? != Value::Nil;
        let now = seconds(answers.next())?;
        answers.next();
        let began =
            i64::try_from(step * STEP_SECONDS).unwrap_or(i64::MAX).saturating_sub(skew).saturating_add(self.offset);
        let started = answers.next().and_then(|info| uptime(&info)).map_or(0, |uptime| now.saturating_sub(uptime));
        Ok(claimed && started < began)
    }

    /// Gives a step back whose code was never sent.
    pub(super) fn free_step(&mut self, step: u64) -> Result<(), Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("DEL").arg(self.step(step));
        self.ask(&commands).map(drop)
    }

    /// The refresh token, if there is one that opens.
    pub(super) fn refresh_token(&mut self) -> Result<Option<Secret>, Trouble> {
        Ok(self.get(Kind::RefreshToken)?.and_then(|plain| serde_json::from_slice(&plain).ok()))
    }

    /// Makes the token everyone's, and the refresh token that renews it.
    pub(super) fn publish(&mut self, cached: &Cached, refresh_token: Option<&Secret>) -> Result<(), Trouble> {
        let life = cached.token.life(cached.token.obtained).as_secs().max(1);
        let published = Published { cached: cached.clone(), clock_offset: self.offset };
        let mut commands = redis::pipe();
        self.set(&mut commands, Kind::Token, &published, life);
        match refresh_token {
            Some(refresh_token) => self.set(&mut commands, Kind::RefreshToken, refresh_token, MEMORY_SECONDS),
            None => drop(commands.cmd("DEL").arg(self.value(Kind::RefreshToken))),
        }
        self.ask(&commands).map(drop)
    }

    /// Remembers what the account's logins know of each other.
    pub(super) fn record(&mut self, account: &Account) -> Result<(), Trouble> {
        let mut commands = redis::pipe();
        self.set(&mut commands, Kind::Account, &account.clone().shifted(self.offset), MEMORY_SECONDS);
        self.ask(&commands).map(drop)
    }

    /// Removes the token if it is this one; a newer one stays.
    pub(super) fn remove_token(&mut self, token: &Token) -> Result<(), Trouble> {
        let shared = self.get(Kind::Token)?.and_then(|plain| json::object::<Published>(&plain).ok());
        if shared.is_some_and(|shared| shared.cached.token.access_token == token.access_token) {
            self.remove(Kind::Token)?;
        }
        Ok(())
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, kind: Kind) -> Result<(), Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("DEL").arg(self.value(kind));
        self.ask(&commands).map(drop)
    }

    fn name(&self, what: &str) -> String {
        format!("apigee-credential:{{{}}}:{what}", self.account)
    }

    fn step(&self, step: u64) -> String {
        self.name(&format!("step:{step}"))
    }

    fn value(&self, kind: Kind) -> String {
        self.name(&format!("{}:{}", self.sealer.group(), kind.name()))
    }

    fn set(&self, commands: &mut Pipeline, kind: Kind, value: &impl Serialize, life_seconds: u64) {
        let plain = Zeroizing::new(serde_json::to_vec(value).expect("strings and numbers are JSON"));
        commands.cmd("SET").arg(self.value(kind)).arg(self.sealer.seal(kind, &plain)).arg("EX").arg(life_seconds);
    }

    fn get(&mut self, kind: Kind) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.value(kind));
        let sealed = self.ask(&commands)?.remove(0);
        let opened = self.open(kind, &sealed);
        if opened.is_none() && sealed != Value::Nil {
            self.warn_of_unopened();
        }
        Ok(opened)
    }

    /// What does not open is as good as absent, but somebody has put it there.
    pub(super) fn warn_of_unopened(&self) {
        log::warn!("the shared cache at {} holds what was not sealed by this account", self.url.place());
    }

    fn get_values(&self, commands: &mut Pipeline) {
        commands.cmd("TIME");
        commands.cmd("GET").arg(self.value(Kind::Token));
        commands.cmd("GET").arg(self.value(Kind::Account));
    }

    /// What the answers to `get_values` say.
    fn seen(&mut self, answers: Vec<Value>, now: Timestamp) -> Result<Seen, Trouble> {
        let mut answers = answers.into_iter();
        let offset = seconds(answers.next())?.saturating_sub(now.as_second());
        self.offset = if offset.abs() <= CLOCK_NOISE_SECONDS { 0 } else { offset };
        let [token, account] = [Kind::Token, Kind::Account].map(|kind| {
            let sealed = answers.next().unwrap_or_default();
            (sealed != Value::Nil, self.open(kind, &sealed))
        });
        let published = token.1.and_then(|plain| json::object::<Published>(&plain).ok());
        let cached = published.map(|Published { cached: Cached { token, renewable }, clock_offset }| {
            // A clock ahead of the other's may end the token's life too early; none ends it too late.
            let ahead = clock_offset.saturating_sub(self.offset).min(0);
            Cached { token: token.shifted(ahead), renewable }
        });
        let cached = cached.filter(|cached| is_bearer_token(cached.token.access_token.expose()));
        let known = account.1.and_then(|plain| json::object::<Account>(&plain).ok());
        Ok(Seen {
            unopened: usize::from(token.0 && cached.is_none()) + usize::from(account.0 && known.is_none()),
            token: cached,
            account: known.map(|account| account.shifted(-self.offset)),
        })
    }

    fn open(&self, kind: Kind, sealed: &Value) -> Option<Zeroizing<Vec<u8>>> {
        match sealed {
            Value::BulkString(sealed) => self.sealer.open(kind, sealed),
            _ => None,
        }
    }

    /// Asks, and takes any error among the answers for the whole's.
    fn ask(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Trouble> {
        self.send(commands)?.into_iter().map(done).collect()
    }

    /// Sends commands over the connection; over a new one if there is none yet, or it has broken meanwhile.
    fn send(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Trouble> {
        if let Some(mut connection) = self.connection.take()
            && let Ok(answers) = connection.exchange(commands, self.limit)
        {
            self.connection = Some(connection);
            return Ok(answers);
        }
        let mut connection =
            Connection::open(&self.url, self.ca_bundle.as_deref(), self.password.as_ref(), self.limit)?;
        let answers = connection.exchange(commands, self.limit)?;
        self.connection = Some(connection);
        Ok(answers)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The seconds of an answer to `TIME`.
fn seconds(answer: Option<Value>) -> Result<i64, Trouble> {
    match answer.map(done).transpose()? {
        Some(Value::Array(parts)) => match parts.first() {
            Some(Value::BulkString(text)) => {
                std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(Trouble::unspoken)
            }
            _ => Err(Trouble::unspoken()),
        },
        _ => Err(Trouble::unspoken()),
    }
}

/// The server's uptime in seconds, from an answer to `INFO server`.
fn uptime(answer: &Value) -> Option<i64> {
    let Value::BulkString(text) = answer else { return None };
    let text = std::str::from_utf8(text).ok()?;
    text.lines().find_map(|line| line.trim_end().strip_prefix("uptime_in_seconds:"))?.parse().ok()
}

/// A fleet that nobody asks, of those who have `secrets`.
#[cfg(any(fuzzing, test))]
fn unasked(profile: &Profile, secrets: &crate::secrets::Secrets) -> Fleet {
    let url = RedisUrl { tls: true, host: "cache.example".into(), port: 1, username: None, database: 0 };
    let sealer = Sealer::new(secrets, &profile.identity()).expect("there is a password");
    Fleet::new(profile, &url, "account", sealer, None, Instant::now())
}

/// What a Redis that answers with these bytes shows to those who have `secrets`, and what it shows if it has
/// `input` sealed by one of them.
#[cfg(any(fuzzing, test))]
pub(crate) fn seen_in(input: &[u8], profile: &Profile, secrets: &crate::secrets::Secrets) -> [Option<Seen>; 2] {
    let mut fleet = unasked(profile, secrets);
    let [token, account] = [Kind::Token, Kind::Account].map(|kind| Value::BulkString(fleet.sealer.seal(kind, input)));
    let (mut parser, mut reader) = (redis::Parser::new(), input);
    let answers: Vec<_> = (0..3).map_while(|_| parser.parse_value(&mut reader).ok()).collect();
    let time = Value::Array(vec![Value::BulkString(b"1800000000".to_vec())]);
    let now = Timestamp::UNIX_EPOCH;
    [fleet.seen(answers, now).ok(), fleet.seen(vec![time, token, account], now).ok()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::Secrets;
    use crate::token::tests::token;

    fn fleet() -> Fleet {
        let secrets = Secrets::from_json(br#"{"password":"p","shared_secret":"JBSWY3DPEHPK3PXP"}"#).unwrap();
        unasked(&Profile::new("work", "me"), &secrets)
    }

    fn time(seconds: i64) -> Value {
        Value::Array(vec![Value::BulkString(seconds.to_string().into_bytes())])
    }

    fn sealed(fleet: &Fleet, published: &Published) -> Value {
        Value::BulkString(fleet.sealer.seal(Kind::Token, &serde_json::to_vec(published).unwrap()))
    }

    #[test]
    fn a_token_is_told_by_the_clock_of_the_machine_that_reads_it() {
        let mut fleet = fleet();
        // Got at 10,000 by a machine that was 100 s behind Redis, read by one that is 300 s behind.
        let cached = Cached { token: token("t", 10_000, 1_800), renewable: true };
        let value = sealed(&fleet, &Published { cached, clock_offset: 100 });
        let now = Timestamp::from_second(9_800).unwrap();
        let seen = fleet.seen(vec![time(10_100), value, Value::Nil], now).unwrap();
        assert_eq!(seen.token.unwrap().token.life(now).as_secs(), 1_800);
        assert_eq!((fleet.offset(), seen.unopened), (300, 0));
    }

    proptest! {
        #[test]
        fn whatever_redis_says_of_the_time_no_token_lives_longer(
            told_to_publisher in any::<i64>(), told_to_reader in any::<i64>(), now in 0..4_000_000_000_i64,
        ) {
            let mut fleet = fleet();
            let cached = Cached { token: token("t", 1_800_000_000, 1_800), renewable: true };
            let value = sealed(&fleet, &Published { cached: cached.clone(), clock_offset: told_to_publisher });
            let now = Timestamp::from_second(now).unwrap();
            let seen = fleet.seen(vec![time(told_to_reader), value, Value::Nil], now).unwrap();
            prop_assert!(seen.token.unwrap().token.expires <= cached.token.expires);
        }
    }

    #[test]
    fn the_uptime_is_found_in_what_redis_says_of_itself() {
        let info = b"# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:42\r\nuptime_in_days:0\r\n".to_vec();
        assert_eq!(uptime(&Value::BulkString(info)), Some(42));
        for other in [Value::Nil, Value::BulkString(b"uptime_in_seconds:x\r\n".to_vec()), Value::Int(42)] {
            assert_eq!(uptime(&other), None);
        }
    }
}
