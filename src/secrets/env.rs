//! Secrets in the environment, for containers and build machines.

use std::env;

use super::{SecretStore, Secrets};
use crate::clock::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Every variable that may hold a secret: `exec` keeps them from its child.
pub const SECRET_VARIABLES: [&str; 6] =
    [PASSWORD[0], PASSWORD[1], SHARED_SECRET[0], SHARED_SECRET[1], CLIENT_SECRET, CACHE_PASSWORD];

/// The variables that make up the implicit profile, as apigee-tokens names them.
pub const IMPLICIT_VARIABLES: [&str; 2] = ["EDGE_USER_EMAIL", PASSWORD[1]];

const PASSWORD: [&str; 2] = ["APIGEE_CREDENTIAL_PASSWORD", "EDGE_USER_PWD"];
const SHARED_SECRET: [&str; 2] = ["APIGEE_CREDENTIAL_SHARED_SECRET", "SHARED_SECRET"];
const CLIENT_SECRET: &str = "APIGEE_CREDENTIAL_CLIENT_SECRET";
const CACHE_PASSWORD: &str = "APIGEE_CREDENTIAL_CACHE_PASSWORD";

/// The process's environment.
pub(super) struct Environment;

impl SecretStore for Environment {
    fn secrets(&self, _deadline: Deadline) -> Result<Secrets> {
        let mut secrets = Secrets::from_parts(first(PASSWORD), first(SHARED_SECRET))?;
        if secrets.password.is_none() && secrets.shared_secret.is_none() {
            return Err(Error::new(ErrorKind::NotSetUp, "the environment holds no secrets")
                .hint(format!("set {} and {}", PASSWORD[0], SHARED_SECRET[0])));
        }
        secrets.client_secret = first([CLIENT_SECRET]);
        secrets.cache_password = cache_password();
        Ok(secrets)
    }
}

/// The shared cache's password in the environment, which goes before the one in any store.
pub(super) fn cache_password() -> Option<Secret> {
    first([CACHE_PASSWORD])
}

/// The first of the variables that is set.
fn first<const N: usize>(names: [&str; N]) -> Option<Secret> {
    names.into_iter().find_map(|name| env::var(name).ok()).map(Secret::new)
}
