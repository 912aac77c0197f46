//! The cache of one profile, behind one door: what is cached, and the turn to renew it, which only one has
//! at a time.
//!
//! [`local`] is this machine's: a token file that is read without a lock, and the lock of its account.
//! [`shared`] is a fleet's: the same, and behind it a Redis for all machines.

mod account;
mod local;
pub(crate) mod shared;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use account::steps_apart;
pub use account::{Account, Rejection};
use local::LocalCache;
#[cfg(any(fuzzing, test))]
pub(crate) use local::parse;
use shared::SharedCache;

use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::secret::Secret;
use crate::secrets::{self, Secrets};
use crate::token::Token;

/// A token as it was cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cached {
    /// The token.
    pub token: Token,
    /// Whether a refresh token is kept somewhere that can renew it.
    pub renewable: bool,
}

/// Where a profile's token is kept, and what its account's logins know of each other.
pub(crate) trait Cache {
    /// The cached token, if there is one of this identity that can be read. Takes no lock.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if the cache is not this user's alone.
    fn read(&self) -> Result<Option<Cached>>;

    /// What the account's logins know of each other, read without its lock.
    ///
    /// # Errors
    /// As for [`Cache::read`].
    fn account(&self) -> Result<Account>;

    /// Waits for the turn to renew the token, or until that has become needless: when the one whose turn
    /// it is has published its token, all who wait have it at once.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if the lock cannot be had before the deadline.
    fn turn(&self, wanted: &Wanted<'_>) -> Result<Turn<Box<dyn Lock>>>;

    /// Drops this machine's token, when its lock can be had.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if it cannot be removed.
    fn forget(&self, wanted: &Wanted<'_>) -> Result<()>;

    /// The refresh token, where it is kept with the token.
    fn refresh_token(&self, _deadline: Deadline) -> Option<Secret> {
        None
    }

    /// Finds out whether the cache can be written and its lock be taken.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if not.
    fn check(&self) -> Result<()>;

    /// What the cache that is shared with other machines is like, if there is one.
    fn shared_state(&self, _deadline: Deadline) -> Option<Result<SharedState>> {
        None
    }
}

/// The account's lock, and what only its holder may do. Held until it is dropped or its process ends,
/// however it ends.
pub(crate) trait Lock: fmt::Debug {
    /// What the account's logins know of each other.
    fn account(&self) -> Account;

    /// Remembers it for the next.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if the record cannot be written.
    fn record(&mut self, account: &Account) -> Result<()>;

    /// Notes that the code of this MFA step is about to be sent, by this one alone; false if another may have
    /// sent it.
    ///
    /// # Errors
    /// As for [`Lock::record`]: a code whose step is not recorded must not be sent.
    fn claim_step(&mut self, account: &mut Account, step: u64) -> Result<bool> {
        account.use_step(step);
        self.record(account)?;
        Ok(true)
    }

    /// Takes the note back: the code was never sent.
    ///
    /// # Errors
    /// As for [`Lock::record`].
    fn free_step(&mut self, account: &mut Account, step: u64) -> Result<()> {
        account.free_step(step);
        self.record(account)
    }

    /// Says that the holder is still there; to be told now and then in a long wait.
    fn hold(&mut self) {}

    /// Whether refresh tokens are kept with the token.
    fn keeps_refresh_token(&self) -> bool {
        false
    }

    /// The refresh token, where it is kept with the token.
    fn refresh_token(&mut self) -> Option<Secret> {
        None
    }

    /// Drops a refresh token that was refused, where it is kept with the token.
    fn forget_refresh_token(&mut self) {}

    /// Puts a token into the cache, for all who look, and its refresh token, where that is kept with it.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if it cannot be written; the old one is then as it was.
    fn publish(&mut self, cached: &Cached, refresh_token: Option<&Secret>) -> Result<()>;

    /// Drops a token that was refused, wherever it is cached; another stays.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if it cannot be removed.
    fn drop_token(&mut self, refused: &Token) -> Result<()>;
}

/// What a shared cache is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedState {
    /// How long it took to connect and sign in.
    pub connect: Duration,
    /// How long an answer takes.
    pub latency: Duration,
    /// Its clock less this machine's, in seconds.
    pub clock_offset: i64,
    /// The token in it, by this machine's clock.
    pub token: Option<Token>,
    /// How many of its values do not open with this account's secrets.
    pub unopened: usize,
}

/// What a wait for the turn ended with.
pub(crate) enum Turn<L> {
    /// It is ours.
    Mine(L),
    /// Another has published a token that will do.
    Published(Token),
}

/// What one waits for, how, and for how long.
pub(crate) struct Wanted<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
    /// What the cache held before the wait.
    pub(crate) seen: Option<&'a Token>,
    /// Whether a token makes the turn needless; it is told whether the token came during the wait.
    pub(crate) will_do: &'a dyn Fn(&Token, bool) -> bool,
    /// What the caller signs in with, if it is not what the secret store has.
    pub(crate) secrets: Option<&'a Secrets>,
    /// Told at every pause.
    pub(crate) waiting: &'a dyn Fn(),
}

impl Wanted<'_> {
    /// Sleeps for `pause`, or for what is left if that is less; `overdue` if nothing is.
    fn wait(&self, pause: Duration, overdue: impl FnOnce() -> Error) -> Result<()> {
        let left = self.deadline.left(self.clock);
        if left.is_zero() {
            return Err(overdue());
        }
        (self.waiting)();
        self.clock.sleep(pause.min(left));
        Ok(())
    }
}

/// Bytes as a name that can name files and keys.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cache that the profile names, this machine's part of it in `directory`. Touches nothing yet.
pub(crate) fn open<'a>(profile: &'a Profile, directory: &Path, clock: &'a dyn Clock) -> Box<dyn Cache + 'a> {
    let local = LocalCache::new(directory, &profile.name, profile.identity());
    match &profile.shared_cache {
        None => Box::new(local),
        Some(url) => Box::new(SharedCache::new(local, profile, url, secrets::store(profile, clock), clock)),
    }
}
