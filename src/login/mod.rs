//! The login service: what is asked of it and what it answers. Knows OAuth 2.0, not the cache.

pub(crate) mod answer;
mod http;

use std::time::Duration;

use jiff::Timestamp;

pub use http::HttpLoginService;

use crate::secret::Secret;

/// What a password login sends.
#[derive(Clone, Debug)]
pub struct Credentials<'a> {
    /// The account's name.
    pub username: &'a str,
    /// Its password.
    pub password: &'a Secret,
    /// The MFA token, where the account has MFA.
    pub mfa_token: Option<&'a Secret>,
}

/// What a request for a token presents.
#[derive(Clone, Debug)]
pub enum Grant<'a> {
    /// Email, password and MFA token (RFC 6749 section 4.3).
    Password(Credentials<'a>),
    /// A one-time passcode from a zone's page.
    Passcode(&'a Secret),
    /// A refresh token (RFC 6749 section 6).
    RefreshToken(&'a Secret),
}

/// The tokens of a successful answer (RFC 6749 section 5.1).
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token; a valid bearer token.
    pub access_token: Secret,
    /// How long it lives.
    pub expires_in: Duration,
    /// What renews it, if the service gives one.
    pub refresh_token: Option<Secret>,
    /// Its scopes; may be empty.
    pub scope: String,
    /// Its identifier; may be empty.
    pub jti: String,
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The service rejected what was presented; why, in this program's words.
    Rejected(&'static str),
    /// Trouble that may pass.
    Passing {
        /// What it is.
        trouble: String,
        /// How long the service asks to be left alone.
        retry_after: Option<Duration>,
        /// How far the request came.
        reach: Reach,
    },
    /// The request could not be made for what the configuration says.
    Configuration(String),
    /// The service does not speak the protocol; in what way.
    Protocol(String),
    /// The service's certificate is not trusted, so nothing was sent; why.
    Untrusted(String),
}

/// How far a request came that had no answer to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It was never sent.
    Unsent,
    /// It was turned away at the door: nobody looked at the credentials.
    TurnedAway,
    /// It may have been looked at, so a wrong password in it may have counted.
    Received,
}

/// An answer of the login service, or the lack of one.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What came of the request.
    pub outcome: Result<Tokens, Failure>,
    /// The service's clock, if it told.
    pub date: Option<Timestamp>,
}

/// A service that gives tokens.
pub trait LoginService {
    /// Asks for tokens, once, for at most `timeout`. `client_secret` is that of an OAuth client other than the
    /// public one.
    fn request(&self, grant: &Grant<'_>, client_secret: Option<&Secret>, timeout: Duration) -> Answer;
}
