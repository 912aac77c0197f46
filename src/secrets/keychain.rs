//! The operating system's keychain: Secret Service on Linux, Keychain on macOS, Credential Manager on
//! Windows, all through the keyring crate.

use std::sync::mpsc;
use std::thread;

use keyring::Entry;
use zeroize::Zeroizing;

use super::{SecretStore, Secrets, unavailable};
use crate::clock::{Clock, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::profile::Profile;
use crate::secret::Secret;

const SERVICE: &str = "apigee-credential";

/// The keychain's two entries of one profile: its secrets, and its refresh token.
pub(super) struct Keychain<'a> {
    profile: &'a Profile,
    clock: &'a dyn Clock,
}

impl<'a> Keychain<'a> {
    pub(super) fn new(profile: &'a Profile, clock: &'a dyn Clock) -> Self {
        Keychain { profile, clock }
    }

    fn secrets_entry(&self) -> String {
        self.profile.name.clone()
    }

    /// No profile's name has a slash, so this is no other profile's entry.
    fn refresh_token_entry(&self) -> String {
        format!("{}/refresh-token", self.profile.name)
    }

    /// Does something with an entry, under the deadline: a locked keychain with nobody to unlock it
    /// never answers, and the thread that waits for it ends with the process.
    fn with_entry<T: Send + 'static>(
        &self,
        name: String,
        deadline: Deadline,
        action: impl FnOnce(&Entry) -> keyring::Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let (done, answer) = mpsc::channel();
        thread::spawn(move || {
            let result = Entry::store_status().as_ref().map_err(|e| e.to_string()).and_then(|()| {
                match Entry::new(SERVICE, &name).and_then(|entry| action(&entry)) {
                    Ok(value) => Ok(Some(value)),
                    Err(keyring::Error::NoEntry) => Ok(None),
                    Err(e) => Err(describe(&e)),
                }
            });
            let _ = done.send(result);
        });
        match answer.recv_timeout(deadline.left(self.clock)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(reason)) => Err(unavailable(format!("the keychain is not available: {reason}"))
                .hint("sign in to a desktop session, or use another store: `setup --secret-store file|env|command`")),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(unavailable("the keychain did not answer in time: it is locked, perhaps")
                    .hint("unlock the keychain (log in to the desktop, or open its application) and try again"))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(unavailable("the keychain's client ended before it had an answer"))
            }
        }
    }
}

/// keyring's own message, except where it could show what an entry holds.
fn describe(error: &keyring::Error) -> String {
    match error {
        keyring::Error::BadEncoding(_) => "its entry is not text".to_owned(),
        keyring::Error::BadDataFormat(..) => "its entry cannot be read".to_owned(),
        keyring::Error::Ambiguous(_) => {
            format!("it holds several entries of service {SERVICE} for this profile: remove all but one")
        }
        other => other.to_string(),
    }
}

impl SecretStore for Keychain<'_> {
    fn secrets(&self, deadline: Deadline) -> Result<Secrets> {
        let json = self
            .with_entry(self.secrets_entry(), deadline, |entry| entry.get_secret().map(Zeroizing::new))?
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotSetUp,
                    format!("the keychain holds no secrets for profile {}", self.profile.name),
                )
                .hint(format!("run `apigee-credential setup --profile {}`", self.profile.name))
            })?;
        Secrets::from_store(&json, "the keychain's entry")
    }

    fn keep(&self, secrets: &Secrets, deadline: Deadline) -> Result<()> {
        let json = secrets.to_json();
        self.with_entry(self.secrets_entry(), deadline, move |entry| entry.set_secret(&json))?;
        Ok(())
    }

    fn forget(&self, deadline: Deadline) -> Result<()> {
        self.with_entry(self.secrets_entry(), deadline, Entry::delete_credential)?;
        Ok(())
    }

    fn keeps_refresh_token(&self) -> bool {
        true
    }

    fn refresh_token(&self, deadline: Deadline) -> Result<Option<Secret>> {
        let kept =
            self.with_entry(self.refresh_token_entry(), deadline, |entry| entry.get_secret().map(Zeroizing::new))?;
        // What is no refresh token of this identity is as good as none.
        Ok(kept.and_then(|kept| {
            let kept: Kept = json::object(&kept).ok()?;
            (kept.identity == self.profile.identity()).then_some(kept.refresh_token)
        }))
    }

    fn keep_refresh_token(&self, token: Option<&Secret>, deadline: Deadline) -> Result<()> {
        let entry = self.refresh_token_entry();
        let Some(token) = token else {
            self.with_entry(entry, deadline, Entry::delete_credential)?;
            return Ok(());
        };
        let kept = Kept { refresh_token: token.clone(), identity: self.profile.identity() };
        let json = Zeroizing::new(serde_json::to_vec(&kept).expect("strings are JSON"));
        self.with_entry(entry, deadline, move |entry| entry.set_secret(&json))?;
        Ok(())
    }
}

/// The refresh token with the identity that it renews: after a change of account or login service the
/// old one is not sent to the new.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    refresh_token: Secret,
    identity: crate::token::Identity,
}
