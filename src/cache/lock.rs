//! The account's lock, shared by all processes, and what only its holder may do.

use std::fs::File;
use std::io;

use fs2::FileExt;

use super::account::{Account, RECORD_BYTES};
use super::{Cache, Cached, TokenFile, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// The lock, held until it is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    cache: Cache,
}

impl Lock {
    /// Locks the open lock file; `None` if another process has it.
    pub(super) fn try_take(file: File, cache: &Cache) -> io::Result<Option<Self>> {
        if let Err(e) = FileExt::try_lock_exclusive(&file) {
            let contended = e.raw_os_error() == fs2::lock_contended_error().raw_os_error();
            return if contended { Ok(None) } else { Err(e) };
        }
        // Only now: the room for the record is made once, before anything depends on it.
        if file.metadata()?.len() < RECORD_BYTES as u64 {
            Account::default().write(&file)?;
        }
        files::sweep(&cache.token_file);
        Ok(Some(Lock { file, cache: cache.clone() }))
    }

    /// What the account's logins know of each other.
    pub fn account(&self) -> Account {
        Account::read(&self.file)
    }

    /// Remembers it for the next.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if the record cannot be written.
    pub fn record(&mut self, account: &Account) -> Result<()> {
        account.write(&self.file).map_err(|e| self.cache.unusable(&self.cache.lock_file(), &e))
    }

    /// Puts a token into the cache, for all who look.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if it cannot be written; the old file is then as it was.
    pub fn publish(&self, cached: &Cached) -> Result<()> {
        let file = TokenFile {
            version: VERSION,
            token: cached.token.clone(),
            identity: self.cache.identity.clone(),
            renewable: cached.renewable,
        };
        let bytes = zeroize::Zeroizing::new(
            serde_json::to_vec(&file).map_err(|e| Error::new(ErrorKind::Unexpected, e.to_string()))?,
        );
        files::replace(&self.cache.token_file, &bytes).map_err(|e| self.cache.unusable(&self.cache.token_file, &e))
    }

    /// Drops the cached token.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if it cannot be removed.
    pub fn drop_token(&self) -> Result<()> {
        files::remove(&self.cache.token_file).map_err(|e| self.cache.unusable(&self.cache.token_file, &e))
    }
}
