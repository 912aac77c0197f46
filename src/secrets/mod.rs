//! Where an account's secrets live: one trait, one file per store.

mod command;
pub(crate) mod dotenv;
mod env;
mod file;
mod keychain;
pub(crate) mod mfa;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::otp::SharedSecret;
use crate::profile::{Profile, Store};
use crate::secret::Secret;

pub use env::{IMPLICIT_VARIABLES, SECRET_VARIABLES};

/// What an account signs in with.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The account's password.
    pub password: Option<Secret>,
    /// The key behind its MFA tokens, where MFA tokens are made from one.
    pub shared_secret: Option<SharedSecret>,
    /// The secret of an OAuth client other than the public Edge CLI client.
    pub client_secret: Option<Secret>,
    /// The password of the shared cache, if there is one and it has one.
    pub cache_password: Option<Secret>,
}

/// A place that keeps an account's secrets.
pub trait SecretStore {
    /// The account's secrets.
    ///
    /// # Errors
    /// [`ErrorKind::NotSetUp`] if the store holds none, [`ErrorKind::SecretStore`] if it cannot be read or
    /// does not answer before the deadline.
    fn secrets(&self, deadline: Deadline) -> Result<Secrets>;

    /// Keeps the secrets instead of those that it has. A store that this program only reads does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::SecretStore`] if they cannot be written; the old ones are then as they were.
    fn keep(&self, _secrets: &Secrets, _deadline: Deadline) -> Result<()> {
        Ok(())
    }

    /// Removes the secrets that this program put there.
    ///
    /// # Errors
    /// [`ErrorKind::SecretStore`] if they are there and cannot be removed.
    fn forget(&self, _deadline: Deadline) -> Result<()> {
        Ok(())
    }

    /// Whether a refresh token can be kept here: in the keychain, and nowhere in clear.
    fn keeps_refresh_token(&self) -> bool {
        false
    }

    /// The refresh token, if one is kept.
    ///
    /// # Errors
    /// [`ErrorKind::SecretStore`] if the store cannot be read.
    fn refresh_token(&self, _deadline: Deadline) -> Result<Option<Secret>> {
        Ok(None)
    }

    /// Keeps a refresh token instead of the one that is there, or removes it.
    ///
    /// # Errors
    /// [`ErrorKind::SecretStore`] if it cannot be written.
    fn keep_refresh_token(&self, _token: Option<&Secret>, _deadline: Deadline) -> Result<()> {
        Ok(())
    }
}

/// The store that the profile names. Touches nothing yet.
pub fn store<'a>(profile: &'a Profile, clock: &'a dyn Clock) -> Box<dyn SecretStore + 'a> {
    match &profile.store {
        Store::Keychain => Box::new(keychain::Keychain::new(profile, clock)),
        Store::Env => Box::new(env::Environment),
        Store::File(path) => Box::new(file::SecretFile::new(path)),
        Store::Command(command) => Box::new(command::SecretCommand::new(command, clock)),
    }
}

/// The JSON in which every store keeps secrets and `setup --stdin` takes them.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared_secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_password: Option<Secret>,
}

impl Secrets {
    /// Reads `{"password":…,"shared_secret":…,"client_secret":…,"cache_password":…}`, each optional.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if it is not that, told without repeating any of it.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let stored: Stored = json::object(json).map_err(|e| {
            // serde's own message may quote a value.
            Error::new(
                ErrorKind::Usage,
                format!("the secrets are not the JSON they should be (line {}, column {})", e.line(), e.column()),
            )
            .hint(r#"expected {"password":"…","shared_secret":"…"}"#)
        })?;
        let secrets = Secrets::from_parts(stored.password, stored.shared_secret)?;
        Ok(Secrets { client_secret: stored.client_secret, cache_password: stored.cache_password, ..secrets })
    }

    /// What an account signs in with, from its texts.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the shared secret is none.
    pub fn from_parts(password: Option<Secret>, shared_secret: Option<Secret>) -> Result<Self> {
        Ok(Secrets {
            password: password.filter(|p| !p.expose().is_empty()),
            shared_secret: shared_secret
                .filter(|s| !s.expose().is_empty())
                .map(|s| SharedSecret::parse(s.expose()))
                .transpose()?,
            ..Secrets::default()
        })
    }

    /// The password of the shared cache: the environment's, or the store's.
    pub(crate) fn cache_password(&self) -> Option<Secret> {
        env::cache_password().or_else(|| self.cache_password.clone()).filter(|password| !password.expose().is_empty())
    }

    /// As [`Secrets::from_json`] reads them.
    pub(crate) fn to_json(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let stored = Stored {
            password: self.password.clone(),
            shared_secret: self.shared_secret.as_ref().map(|s| s.base32().clone()),
            client_secret: self.client_secret.clone(),
            cache_password: self.cache_password.clone(),
        };
        zeroize::Zeroizing::new(serde_json::to_vec(&stored).expect("strings are JSON"))
    }

    /// What a store gave, where what is no secrets is the store's fault.
    fn from_store(json: &[u8], store: &str) -> Result<Self> {
        Secrets::from_json(json).map_err(|e| unavailable(format!("{store}: {e}")))
    }
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::SecretStore, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_survive_their_json() {
        let json =
            r#"{"password":"p&+ \"é","shared_secret":"jbsw y3dp ehpk 3pxp","client_secret":"","cache_password":"c"}"#;
        let secrets = Secrets::from_json(json.as_bytes()).unwrap();
        let again = Secrets::from_json(&secrets.to_json()).unwrap();
        assert_eq!(again.password.unwrap().expose(), "p&+ \"é");
        assert_eq!(again.shared_secret.unwrap().base32().expose(), "JBSWY3DPEHPK3PXP");
        assert_eq!(again.client_secret.unwrap().expose(), "");
        assert_eq!(again.cache_password.unwrap().expose(), "c");
    }

    #[test]
    fn what_is_no_json_is_refused_without_repeating_it() {
        for bad in ["", "hunter2", r#"{"password":hunter2}"#, r#"{"password":["hunter2"]}"#, r#"["hunter2"]"#] {
            let error = Secrets::from_json(bad.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
