//! The cache of one profile, behind one door: what is cached, and the turn to renew it, which only one has
//! at a time.
//!
//! [`local`] is this machine's: a token file that is read without a lock, and the lock of its account.

mod account;
mod local;

use std::fmt;
use std::path::Path;
use std::time::Duration;

pub(crate) use account::steps_apart;
pub use account::{Account, Rejection};
#[cfg(any(fuzzing, test))]
pub(crate) use local::parse;

use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::token::Token;

/// A token as it was cached.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Finds out whether the cache can be written and its lock be taken.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if not.
    fn check(&self) -> Result<()>;
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

    /// Puts a token into the cache, for all who look.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if it cannot be written; the old one is then as it was.
    fn publish(&mut self, cached: &Cached) -> Result<()>;

    /// Drops the cached token.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`](crate::ErrorKind::Cache) if it cannot be removed.
    fn drop_token(&mut self) -> Result<()>;
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

/// The cache that the profile names, in `directory`. Touches nothing yet.
pub(crate) fn open<'a>(profile: &'a Profile, directory: &Path) -> Box<dyn Cache + 'a> {
    Box::new(local::LocalCache::new(directory, &profile.name, profile.identity()))
}
