//! This machine's cache of one profile: a token file that is read without a lock and replaced atomically, and
//! the lock of its account, shared by all processes, whose file remembers what the account's logins must know
//! of each other.
//!
//! Nothing here is a password, a shared secret or a refresh token.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs2::FileExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::account::{Account, RECORD_BYTES};
use super::{Cache, Cached, Lock, Turn, Wanted, hex};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Distrust, trust};
use crate::json;
use crate::secret::Secret;
use crate::token::{Identity, Token, is_bearer_token};

/// A token file holds one token and its identity; what is larger is not ours.
const MAX_TOKEN_FILE_BYTES: usize = 128 * 1024;

/// The format of the token file. Another version's file is treated as absent and replaced.
const VERSION: u32 = 1;

/// Who waits for the lock looks this often.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// One profile's part of the cache directory.
#[derive(Clone, Debug)]
pub(super) struct LocalCache {
    directory: PathBuf,
    token_file: PathBuf,
    identity: Identity,
}

#[derive(Serialize, Deserialize)]
struct TokenFile {
    version: u32,
    token: Token,
    identity: Identity,
    renewable: bool,
}

impl LocalCache {
    /// The cache of the profile called `profile` in `directory`. Touches nothing yet.
    pub(super) fn new(directory: &Path, profile: &str, identity: Identity) -> Self {
        LocalCache { directory: directory.to_owned(), token_file: directory.join(format!("{profile}.json")), identity }
    }

    /// Takes the account's lock if no other process has it; `None` if one has.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if the lock file cannot be made or is not this user's alone.
    fn try_lock(&self) -> Result<Option<LocalLock>> {
        files::create_private_dir(&self.directory).map_err(|e| self.unusable(&self.directory, &e))?;
        self.check_directory()?;
        let path = self.lock_file();
        let (file, _) = self
            .open_own(files::private().read(true).write(true).create(true), &path)?
            .ok_or_else(|| self.unusable(&path, &io::ErrorKind::NotFound.into()))?;
        LocalLock::try_take(file, self).map_err(|e| self.unusable(&path, &e))
    }

    /// [`Cache::turn`], with the lock as it is.
    pub(super) fn take_turn(&self, wanted: &Wanted<'_>) -> Result<Turn<LocalLock>> {
        let mut pause = Duration::from_millis(2);
        loop {
            let lock = self.try_lock()?;
            if let Some(Cached { token, .. }) = self.read()? {
                let is_new = wanted.seen.is_none_or(|seen| seen.access_token != token.access_token);
                if (wanted.will_do)(&token, is_new) {
                    return Ok(Turn::Published(token));
                }
            }
            if let Some(lock) = lock {
                return Ok(Turn::Mine(lock));
            }
            wanted.wait(pause, || self.never_let_go())?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn never_let_go(&self) -> Error {
        let message = "another process holds the lock of this account and does not let go";
        Error::new(ErrorKind::Cache, message)
            .hint(format!("look for a hanging apigee-credential; the locks are in {}", self.directory.display()))
    }

    /// The lock is the account's rather than the profile's: two profiles of one account share its MFA steps
    /// and its failed logins, so they must not sign in side by side.
    fn lock_file(&self) -> PathBuf {
        self.directory.join(format!("{}.lock", self.account_name()))
    }

    /// A name for the account that can name files and keys.
    pub(super) fn account_name(&self) -> String {
        let account = format!("{}\n{}", self.identity.login_url, self.identity.username);
        hex(&Sha256::digest(account)[..8])
    }

    /// Whether the directory is there; an error if it is not this user's alone.
    fn check_directory(&self) -> Result<bool> {
        let metadata = match fs::symlink_metadata(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|e| self.unusable(&self.directory, &e))?,
        };
        if !metadata.is_dir() {
            return Err(refused(&self.directory, &Distrust::Kind));
        }
        trust::own(&metadata).map_err(|distrust| refused(&self.directory, &distrust))?;
        Ok(true)
    }

    /// Opens a file of the cache, if it is there; an error if it is not this user's alone.
    fn open_own(&self, options: &fs::OpenOptions, path: &Path) -> Result<Option<(fs::File, fs::Metadata)>> {
        let file = match options.open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if files::is_link_error(&e) => return Err(refused(path, &Distrust::Kind)),
            Err(e) => return Err(self.unusable(path, &e)),
        };
        let metadata = file.metadata().map_err(|e| self.unusable(path, &e))?;
        if !metadata.is_file() {
            return Err(refused(path, &Distrust::Kind));
        }
        trust::own(&metadata).map_err(|distrust| refused(path, &distrust))?;
        Ok(Some((file, metadata)))
    }

    fn unusable(&self, path: &Path, error: &io::Error) -> Error {
        Error::new(ErrorKind::Cache, format!("cannot use {}: {error}", path.display()))
            .hint("APIGEE_CREDENTIAL_CACHE_DIR names another cache directory")
    }
}

impl Cache for LocalCache {
    fn read(&self) -> Result<Option<Cached>> {
        if !self.check_directory()? {
            return Ok(None);
        }
        let Some((file, metadata)) = self.open_own(files::private().read(true), &self.token_file)? else {
            return Ok(None);
        };
        let Ok(bytes) = files::read_limited(file, &metadata, MAX_TOKEN_FILE_BYTES) else {
            return Ok(None);
        };
        Ok(parse(&bytes, &self.identity))
    }

    fn account(&self) -> Result<Account> {
        if !self.check_directory()? {
            return Ok(Account::default());
        }
        Ok(self
            .open_own(files::private().read(true), &self.lock_file())?
            .map(|(file, _)| Account::read(&file))
            .unwrap_or_default())
    }

    fn turn(&self, wanted: &Wanted<'_>) -> Result<Turn<Box<dyn Lock>>> {
        Ok(match self.take_turn(wanted)? {
            Turn::Mine(lock) => Turn::Mine(Box::new(lock)),
            Turn::Published(token) => Turn::Published(token),
        })
    }

    fn forget(&self, wanted: &Wanted<'_>) -> Result<()> {
        match self.take_turn(wanted)? {
            Turn::Mine(lock) => lock.remove_token(),
            Turn::Published(_) => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        self.try_lock().map(drop)
    }
}

/// What a token file says, if it is one, of this version and this identity.
pub(crate) fn parse(bytes: &[u8], identity: &Identity) -> Option<Cached> {
    let file: TokenFile = json::object(bytes).ok()?;
    let ours = file.version == VERSION && file.identity == *identity;
    (ours && is_bearer_token(file.token.access_token.expose()))
        .then_some(Cached { token: file.token, renewable: file.renewable })
}

fn refused(path: &Path, distrust: &Distrust) -> Error {
    Error::new(ErrorKind::Cache, format!("{} {}: refused", path.display(), distrust.reason()))
        .hint("remove it; it is made anew, for you alone")
}

/// The lock of the lock file, which is let go when it is closed.
#[derive(Debug)]
pub(super) struct LocalLock {
    file: File,
    cache: LocalCache,
}

impl LocalLock {
    /// Locks the open lock file; `None` if another process has it.
    fn try_take(file: File, cache: &LocalCache) -> io::Result<Option<Self>> {
        if let Err(e) = FileExt::try_lock_exclusive(&file) {
            let contended = e.raw_os_error() == fs2::lock_contended_error().raw_os_error();
            return if contended { Ok(None) } else { Err(e) };
        }
        // Only now: the room for the record is made once, before anything depends on it.
        if file.metadata()?.len() < RECORD_BYTES as u64 {
            Account::default().write(&file)?;
        }
        files::sweep(&cache.token_file);
        Ok(Some(LocalLock { file, cache: cache.clone() }))
    }

    fn remove_token(&self) -> Result<()> {
        files::remove(&self.cache.token_file).map_err(|e| self.cache.unusable(&self.cache.token_file, &e))
    }
}

impl Lock for LocalLock {
    fn account(&self) -> Account {
        Account::read(&self.file)
    }

    fn record(&mut self, account: &Account) -> Result<()> {
        account.write(&self.file).map_err(|e| self.cache.unusable(&self.cache.lock_file(), &e))
    }

    fn publish(&mut self, cached: &Cached, _refresh_token: Option<&Secret>) -> Result<()> {
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

    fn drop_token(&mut self, refused: &Token) -> Result<()> {
        match self.cache.read()? {
            Some(cached) if cached.token.access_token == refused.access_token => self.remove_token(),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::token::tests::token;

    pub(crate) fn identity(username: &str) -> Identity {
        Identity {
            username: username.to_owned(),
            login_url: "https://login.example".to_owned(),
            client_id: "edgecli".to_owned(),
        }
    }

    fn cache(directory: &Path) -> LocalCache {
        LocalCache::new(directory, "work", identity("me"))
    }

    fn publish(cache: &LocalCache) {
        let mut lock = cache.try_lock().unwrap().unwrap();
        lock.publish(&Cached { token: token("abc", 1, 2), renewable: true }, None).unwrap();
    }

    #[test]
    fn what_was_published_is_read_by_its_identity_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("cache");
        let ours = cache(&directory);
        assert_eq!(ours.read().unwrap(), None);
        publish(&ours);
        let cached = ours.read().unwrap().unwrap();
        assert_eq!(cached.token, token("abc", 1, 2));
        assert!(cached.renewable);
        assert_eq!(LocalCache::new(&directory, "work", identity("you")).read().unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_cache_is_treated_as_absent_and_replaced() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("cache");
        let cache = cache(&directory);
        publish(&cache);
        let good = fs::read_to_string(&cache.token_file).unwrap();
        for bad in [
            "",
            "{",
            "[]",
            "null",
            &good[..good.len() / 2],
            &good.replace("\"version\":1", "\"version\":2"),
            &good.replace("abc", "a b"),
            &good.replace("abc", "a\\nb"),
            &format!("{good}{}", " ".repeat(MAX_TOKEN_FILE_BYTES)),
        ] {
            fs::write(&cache.token_file, bad).unwrap();
            assert_eq!(cache.read().unwrap(), None, "{bad:.40}");
        }
        publish(&cache);
        assert!(cache.read().unwrap().is_some());
    }

    #[test]
    fn only_one_has_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(&home.path().join("cache"));
        let lock = cache.try_lock().unwrap().unwrap();
        assert!(cache.try_lock().unwrap().is_none());
        drop(lock);
        assert!(cache.try_lock().unwrap().is_some());
    }

    #[test]
    fn profiles_of_one_account_share_its_lock_and_others_do_not() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("cache");
        let lock = cache(&directory).try_lock().unwrap().unwrap();
        assert!(LocalCache::new(&directory, "other", identity("me")).try_lock().unwrap().is_none());
        assert!(LocalCache::new(&directory, "work", identity("you")).try_lock().unwrap().is_some());
        drop(lock);
    }

    #[test]
    fn the_account_is_remembered_with_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(&home.path().join("cache"));
        assert_eq!(cache.account().unwrap(), Account::default());
        let mut lock = cache.try_lock().unwrap().unwrap();
        let mut account = lock.account();
        account.use_step(7);
        account.skew = -3;
        lock.record(&account).unwrap();
        assert_eq!(cache.account().unwrap(), account);
        drop(lock);
        assert_eq!(cache.try_lock().unwrap().unwrap().account(), account);
    }

    #[cfg(unix)]
    mod trust {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn the_cache_is_its_owners_alone() {
            let home = tempfile::tempdir().unwrap();
            let cache = cache(&home.path().join("a/cache"));
            publish(&cache);
            assert_eq!(mode(&cache.directory), 0o700);
            assert_eq!(mode(&cache.token_file), 0o600);
            assert_eq!(mode(&cache.lock_file()), 0o600);
        }

        #[test]
        fn what_others_can_write_or_a_link_is_refused() {
            let home = tempfile::tempdir().unwrap();
            let directory = home.path().join("cache");
            let cache = cache(&directory);
            publish(&cache);

            for path in [&cache.token_file, &cache.directory] {
                let good = mode(path);
                for bad in [0o020, 0o002] {
                    fs::set_permissions(path, fs::Permissions::from_mode(good | bad)).unwrap();
                    assert_eq!(cache.read().unwrap_err().kind(), ErrorKind::Cache);
                }
                fs::set_permissions(path, fs::Permissions::from_mode(good)).unwrap();
                assert!(cache.read().unwrap().is_some());
            }

            let elsewhere = home.path().join("elsewhere");
            for path in [&cache.token_file, &cache.directory] {
                fs::rename(path, &elsewhere).unwrap();
                symlink(&elsewhere, path).unwrap();
                assert_eq!(cache.read().unwrap_err().kind(), ErrorKind::Cache);
                fs::remove_file(path).unwrap();
                fs::rename(&elsewhere, path).unwrap();
            }

            fs::remove_file(cache.lock_file()).unwrap();
            symlink(&elsewhere, cache.lock_file()).unwrap();
            assert_eq!(cache.try_lock().unwrap_err().kind(), ErrorKind::Cache);
            assert!(!elsewhere.exists(), "the link was followed");
        }
    }
}
