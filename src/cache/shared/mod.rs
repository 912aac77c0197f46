//! The cache of a fleet: this machine's, and behind it a Redis or Valkey in which machines share one account's
//! token, its lock, its used MFA steps, and what became of its last login.
//!
//! A call that finds this machine's token fresh never comes here. One that does not takes this machine's lock
//! first, so that one process a machine asks Redis. If Redis cannot be used, the machine goes on alone, with a
//! warning: a token that can be had is never refused for want of a shared cache.

mod connection;
mod fleet;
mod seal;

use std::fmt;
use std::time::{Duration, Instant};

#[cfg(any(fuzzing, test))]
pub(crate) use fleet::seen_in;
use fleet::{Fleet, LOCK_LIFE};
use seal::{Kind, Sealer, random};

use self::connection::Trouble;
use super::local::{LocalCache, LocalLock};
use super::{Account, Cache, Cached, Lock, SharedState, Turn, Wanted};
use crate::clock::{Clock, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::profile::{Profile, RedisUrl};
use crate::secret::Secret;
use crate::secrets::{SecretStore, Secrets};
use crate::token::Token;

/// Redis may be starting, or failing over: it is asked again for some time between these, drawn anew by each
/// call, so that a fleet that has lost it does not log in in step.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// Who waits for another machine looks this often, give or take: at first, and in the long run.
const PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];

/// A fleet's cache, as one machine sees it.
pub(super) struct SharedCache<'a> {
    local: LocalCache,
    profile: &'a Profile,
    url: &'a RedisUrl,
    store: Box<dyn SecretStore + 'a>,
    clock: &'a dyn Clock,
}

impl<'a> SharedCache<'a> {
    /// The cache at `url` behind `local`. Touches nothing yet.
    pub(super) fn new(
        local: LocalCache,
        profile: &'a Profile,
        url: &'a RedisUrl,
        store: Box<dyn SecretStore + 'a>,
        clock: &'a dyn Clock,
    ) -> Self {
        SharedCache { local, profile, url, store, clock }
    }

    /// The fleet of those who have these secrets, or the store's if none are given.
    fn fleet(&self, secrets: Option<&Secrets>, deadline: Deadline) -> Result<Fleet> {
        let stored;
        let secrets = match secrets {
            Some(secrets) => secrets,
            None => {
                stored = self.store.secrets(deadline)?;
                &stored
            }
        };
        let sealer = Sealer::new(secrets, &self.profile.identity()).ok_or_else(|| {
            Error::new(ErrorKind::NotSetUp, "what is shared is sealed with the account's password, and there is none")
        })?;
        let limit = Instant::now() + deadline.left(self.clock);
        Ok(Fleet::new(self.profile, self.url, &self.local.account_name(), sealer, secrets.cache_password(), limit))
    }

    /// Takes the fleet's turn, or a token that will do, for the process that has this machine's lock.
    fn fleets_turn(&self, local: LocalLock, fleet: Fleet, wanted: &Wanted<'_>) -> Turn<SharedLock> {
        let mut lock = SharedLock::new(local, fleet);
        let (mut first, mut patience, mut pause) = (None, None, PAUSE[0]);
        let left = || wanted.deadline.left(self.clock);
        // The last part of the time is for a login, whoever else may be about one: their steps differ.
        let reserve = between([left() / 8, left() / 4]);
        loop {
            match self.try_turn(&mut lock, &mut first, wanted) {
                Ok(Tried::Published(cached)) => return Turn::Published(lock.adopt(cached)),
                Ok(Tried::Mine) => return Turn::Mine(lock),
                Ok(Tried::Others) if left() > reserve => {}
                Ok(Tried::Others) => {
                    log::warn!("another machine is renewing the token and does not come to an end; going on alone");
                    return Turn::Mine(lock);
                }
                Err(trouble) => {
                    let until = *patience.get_or_insert_with(|| {
                        log::info!("{}; asking again for a while", told(self.url, &trouble));
                        self.clock.monotonic() + between(PATIENCE).min(left() / 4)
                    });
                    if self.clock.monotonic() >= until {
                        lock.go_alone(&trouble);
                        return Turn::Mine(lock);
                    }
                }
            }
            (wanted.waiting)();
            self.clock.sleep(between([pause / 2, pause]).min(left()));
            pause = (pause * 2).min(PAUSE[1]);
        }
    }

    /// Looks for a token that will do, and only then tries for the lock: which looks again, for the token may have
    /// come in between. `first` is what the first look found; a token that comes later is new.
    fn try_turn(
        &self,
        lock: &mut SharedLock,
        first: &mut Option<Option<Secret>>,
        wanted: &Wanted<'_>,
    ) -> std::result::Result<Tried, Trouble> {
        let known = match first {
            Some(known) => known,
            None => {
                let seen = lock.fleet.look(self.clock.now())?;
                if seen.unopened > 0 {
                    lock.fleet.warn_of_unopened();
                }
                lock.known = seen.account;
                let known = seen.token.as_ref().map(|cached| cached.token.access_token.clone());
                if let Some(cached) = seen.token.filter(|cached| (wanted.will_do)(&cached.token, false)) {
                    return Ok(Tried::Published(cached));
                }
                first.insert(known)
            }
        };
        let (locked, seen) = lock.fleet.try_lock(self.clock.now())?;
        (lock.locked, lock.known) = (locked, seen.account);
        let will_do = |token: &Token| (wanted.will_do)(token, known.as_ref() != Some(&token.access_token));
        Ok(match seen.token.filter(|cached| will_do(&cached.token)) {
            Some(cached) => Tried::Published(cached),
            None if locked => Tried::Mine,
            None => Tried::Others,
        })
    }
}

/// What a try for the fleet's turn ended with.
enum Tried {
    Published(Cached),
    Mine,
    Others,
}

impl Cache for SharedCache<'_> {
    fn read(&self) -> Result<Option<Cached>> {
        self.local.read()
    }

    fn account(&self) -> Result<Account> {
        self.local.account()
    }

    fn turn(&self, wanted: &Wanted<'_>) -> Result<Turn<Box<dyn Lock>>> {
        let local = match self.local.take_turn(wanted)? {
            Turn::Published(token) => return Ok(Turn::Published(token)),
            Turn::Mine(lock) => lock,
        };
        match self.fleet(wanted.secrets, wanted.deadline) {
            Ok(fleet) => Ok(match self.fleets_turn(local, fleet, wanted) {
                Turn::Published(token) => Turn::Published(token),
                Turn::Mine(lock) => Turn::Mine(Box::new(lock)),
            }),
            Err(e) => {
                log::warn!("{}", left_out(e));
                Ok(Turn::Mine(Box::new(local)))
            }
        }
    }

    fn forget(&self, wanted: &Wanted<'_>) -> Result<()> {
        self.local.forget(wanted)
    }

    fn refresh_token(&self, deadline: Deadline) -> Option<Secret> {
        let told = |trouble| told(self.url, &trouble);
        let asked =
            self.fleet(None, deadline).map_err(left_out).and_then(|mut fleet| fleet.refresh_token().map_err(told));
        asked.unwrap_or_else(|warning| {
            log::warn!("{warning}");
            None
        })
    }

    fn check(&self) -> Result<()> {
        self.local.check()
    }

    fn shared_state(&self, deadline: Deadline) -> Option<Result<SharedState>> {
        let unusable = |trouble| {
            Error::new(ErrorKind::Cache, told(self.url, &trouble))
                .hint("without it every machine signs in by itself; docs/fleet.md tells what it needs")
        };
        Some(self.fleet(None, deadline).and_then(|mut fleet| {
            let asked = Instant::now();
            let seen = fleet.look(self.clock.now()).map_err(unusable)?;
            let first = asked.elapsed();
            let asked = Instant::now();
            fleet.try_writing().map_err(unusable)?;
            let latency = asked.elapsed();
            Ok(SharedState {
                connect: first.saturating_sub(latency),
                latency,
                clock_offset: fleet.offset(),
                token: seen.token.map(|cached| cached.token),
                unopened: seen.unopened,
            })
        }))
    }
}

/// This machine's lock and the fleet's.
struct SharedLock {
    local: LocalLock,
    fleet: Fleet,
    /// Whether the fleet's lock was ours when it was last heard of.
    locked: bool,
    extended: Instant,
    /// Whether the fleet is left out, but for what it may yet prevent or gain by.
    alone: bool,
    /// What the fleet knew of the account.
    known: Option<Account>,
}

impl SharedLock {
    fn new(local: LocalLock, fleet: Fleet) -> Self {
        SharedLock { local, fleet, locked: false, extended: Instant::now(), alone: false, known: None }
    }

    /// Puts the fleet's token into this machine's cache.
    fn adopt(mut self, cached: Cached) -> Token {
        let account = self.account();
        if account != self.local.account() {
            warn_of(self.local.record(&account));
        }
        warn_of(self.local.publish(&cached, None));
        cached.token
    }

    fn ask<T>(&mut self, act: impl FnOnce(&mut Fleet) -> std::result::Result<T, Trouble>) -> Option<T> {
        match act(&mut self.fleet) {
            Ok(answer) => {
                self.alone = false;
                Some(answer)
            }
            Err(trouble) => {
                self.go_alone(&trouble);
                None
            }
        }
    }

    /// The same, but not once the fleet is left out.
    fn ask_unless_alone<T>(&mut self, act: impl FnOnce(&mut Fleet) -> std::result::Result<T, Trouble>) -> Option<T> {
        if self.alone { None } else { self.ask(act) }
    }

    fn go_alone(&mut self, trouble: &Trouble) {
        if !self.alone {
            log::warn!("{}; going on alone", told(self.fleet.url(), trouble));
        }
        self.alone = true;
    }
}

impl Lock for SharedLock {
    fn account(&self) -> Account {
        let mut account = self.local.account();
        self.known.clone().into_iter().for_each(|known| account.learn(known));
        account
    }

    fn record(&mut self, account: &Account) -> Result<()> {
        self.local.record(account)?;
        self.known = Some(account.clone());
        self.ask_unless_alone(|fleet| fleet.record(account));
        Ok(())
    }

    /// Even alone: two machines that send one code cost a failed login.
    fn claim_step(&mut self, account: &mut Account, step: u64) -> Result<bool> {
        account.use_step(step);
        self.local.record(account)?;
        self.extended = Instant::now();
        let skew = account.skew;
        Ok(self.ask(|fleet| fleet.claim_step(step, skew)).unwrap_or(true))
    }

    fn free_step(&mut self, account: &mut Account, step: u64) -> Result<()> {
        account.free_step(step);
        self.local.record(account)?;
        self.ask_unless_alone(|fleet| fleet.free_step(step));
        Ok(())
    }

    fn hold(&mut self) {
        if self.locked && self.extended.elapsed() > LOCK_LIFE / 3 {
            self.extended = Instant::now();
            self.ask_unless_alone(Fleet::extend_lock);
        }
    }

    fn keeps_refresh_token(&self) -> bool {
        !self.alone
    }

    fn refresh_token(&mut self) -> Option<Secret> {
        self.ask_unless_alone(Fleet::refresh_token).flatten()
    }

    fn forget_refresh_token(&mut self) {
        self.ask_unless_alone(|fleet| fleet.remove(Kind::RefreshToken));
    }

    /// Even alone: a Redis that is back by now spares the others a login.
    fn publish(&mut self, cached: &Cached, refresh_token: Option<&Secret>) -> Result<()> {
        self.ask(|fleet| fleet.publish(cached, refresh_token));
        self.local.publish(cached, None)
    }

    fn drop_token(&mut self, refused: &Token) -> Result<()> {
        self.local.drop_token(refused)?;
        self.ask(|fleet| fleet.remove_token(refused));
        Ok(())
    }
}

/// The fleet's lock expires by itself, but nobody shall wait for that.
impl Drop for SharedLock {
    fn drop(&mut self) {
        if self.locked && !self.alone {
            let _ = self.fleet.unlock();
        }
    }
}

impl fmt::Debug for SharedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLock").field("local", &self.local).field("locked", &self.locked).finish_non_exhaustive()
    }
}

/// What this machine does not remember, it asks for again.
fn warn_of(outcome: Result<()>) {
    if let Err(e) = outcome {
        log::warn!("{e}");
    }
}

fn left_out(error: Error) -> String {
    format!("the shared cache is left out: {error}")
}

fn told(url: &RedisUrl, trouble: &Trouble) -> String {
    format!("the shared cache at {} cannot be used: {trouble}", url.place())
}

/// A time between two, drawn at random.
fn between([least, most]: [Duration; 2]) -> Duration {
    let share = f64::from(u32::from_ne_bytes(random())) / f64::from(u32::MAX);
    least + most.saturating_sub(least).mul_f64(share)
}
