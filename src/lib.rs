//! The credential helper for Apigee Edge, as a library.
//!
//! It offers what a program needs that calls the Apigee Edge management API: an MFA token from a shared
//! secret ([`SharedSecret`], [`mfa_token`]), tokens for credentials ([`LoginService`]), and, best of all, a valid
//! token that all programs of this machine share ([`Broker`]): from the cache while it is fresh, by a
//! refresh when it is stale, by a login only when there is no other way.
//!
//! ```no_run
//! use std::time::Duration;
//! use apigee_credential::{Broker, Config, Places, Request, SystemClock};
//!
//! let places = Places::from_environment()?;
//! let profile = Config::load(&places.config)?.profile(None)?;
//! let clock = SystemClock::start();
//! let broker = Broker::new(&profile, &places.cache, &clock, Duration::from_secs(60));
//! let valid = broker.token(&Request::default())?;
//! let header = format!("Authorization: Bearer {}", valid.token.access_token.expose());
//! # Ok::<(), apigee_credential::Error>(())
//! ```
//!
//! Exchanging credentials for tokens without any cache:
//!
//! ```no_run
//! use std::time::Duration;
//! use apigee_credential::{Config, Credentials, Grant, HttpLoginService, LoginService, Places, Secret, SharedSecret, mfa_token};
//!
//! let profile = Config::load(&Places::from_environment()?.config)?.profile(None)?;
//! let shared_secret = SharedSecret::parse("JBSW Y3DP EHPK 3PXP")?;
//! let (mfa_token, wait) = mfa_token(&shared_secret, jiff::Timestamp::now(), Duration::from_secs(10));
//! std::thread::sleep(wait);
//! let grant = Grant::Password(Credentials {
//!     username: &profile.username,
//!     password: &Secret::new("p&ssword"),
//!     mfa_token: Some(&mfa_token.code),
//! });
//! let answer = HttpLoginService::new(&profile).request(&grant, None, Duration::from_secs(30));
//! match answer.outcome {
//!     Ok(tokens) => println!("a token for {} s", tokens.expires_in.as_secs()),
//!     Err(failure) => eprintln!("{failure:?}"),
//! }
//! # Ok::<(), apigee_credential::Error>(())
//! ```

#![forbid(unsafe_code)]

mod broker;
mod cache;
#[doc(hidden)]
pub mod cli;
mod clock;
mod error;
mod files;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod json;
mod login;
mod otp;
mod profile;
mod protocol;
mod secret;
mod secrets;
mod tls;
mod token;

pub use broker::{Broker, Presented, Proof, Renewal, Request, Valid, Waiting};
pub use cache::{Account, Cached, Rejection, SharedState};
pub use clock::{Clock, Deadline, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use login::{Answer, Credentials, Failure, Grant, HttpLoginService, LoginService, Reach, Tokens};
pub use otp::{MfaToken, SharedSecret, mfa_token};
pub use profile::{Config, Mfa, MfaKind, Places, Profile, RedisUrl, Store, StoreKind};
pub use secret::Secret;
pub use secrets::{SecretStore, Secrets};
pub use token::{Identity, Token, is_bearer_token};
