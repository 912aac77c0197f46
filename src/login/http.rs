//! The token endpoint over HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::config::Config;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::{Answer, Failure, Grant, LoginService, Reach, answer};
use crate::profile::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Profile};
use crate::secret::Secret;
use crate::tls;

/// What is longer is no token response.
const MAX_RESPONSE_BYTES: u64 = 1024 * 1024;

/// A host that does not answer a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The login service of a profile.
pub struct HttpLoginService<'a> {
    profile: &'a Profile,
}

impl<'a> HttpLoginService<'a> {
    /// Touches neither network nor certificates yet.
    pub fn new(profile: &'a Profile) -> Self {
        HttpLoginService { profile }
    }

    fn endpoint(&self) -> String {
        format!("{}/oauth/token", self.profile.login_url)
    }

    /// The request's form, every value percent-encoded.
    fn form(&self, grant: &Grant<'_>) -> Zeroizing<String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match grant {
            Grant::Password(credentials) => {
                form.append_pair("username", credentials.username);
                form.append_pair("password", credentials.password.expose());
                if let Some(mfa_token) = credentials.mfa_token {
                    form.append_pair("mfa_token", mfa_token.expose());
                }
                form.append_pair("grant_type", "password");
            }
            Grant::Passcode(passcode) => {
                form.append_pair("passcode", passcode.expose());
                form.append_pair("grant_type", "password");
            }
            Grant::RefreshToken(refresh_token) => {
                form.append_pair("refresh_token", refresh_token.expose());
                form.append_pair("grant_type", "refresh_token");
            }
        }
        if self.profile.zone.is_some() && !matches!(grant, Grant::RefreshToken(_)) {
            form.append_pair("response_type", "token");
        }
        Zeroizing::new(form.finish())
    }

    /// The client's name and secret, Basic (RFC 7617). Not form-encoded before, as RFC 6749 section 2.3.1 would
    /// have it: a UAA takes them as they are.
    fn authorization(&self, client_secret: Option<&Secret>) -> Zeroizing<String> {
        let id = self.profile.client_id.as_str();
        let secret = match client_secret {
            Some(secret) => secret.expose(),
            None if id == DEFAULT_CLIENT_ID => DEFAULT_CLIENT_SECRET,
            None => "",
        };
        let pair = Zeroizing::new(format!("{id}:{secret}"));
        Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())))
    }

    /// An agent for one request. Each has its own connection: the next is half an hour away.
    fn agent(&self, timeout: Duration) -> Result<Agent, Failure> {
        let mut config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("apigee-credential/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(timeout)))
            .timeout_resolve(Some(CONNECT_TIMEOUT.min(timeout)));
        if self.profile.login_url.starts_with("https:") {
            let roots = tls::roots(self.profile.ca_bundle.as_deref()).map_err(Failure::Configuration)?;
            let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            config = config.https_only(true).tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::Specific(Arc::new(roots)))
                    .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .build(),
            );
        }
        Ok(config.build().new_agent())
    }

    fn post(&self, form: &str, client_secret: Option<&Secret>, timeout: Duration) -> Result<Response<Body>, Failure> {
        self.agent(timeout)?
            .post(self.endpoint())
            .header("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
            .header("Accept", "application/json;charset=utf-8")
            .header("Authorization", self.authorization(client_secret).as_str())
            .send(form.as_bytes())
            .map_err(|e| self.failure(e))
    }

    /// Finds out whether the login service is there, is trusted, speaks the protocol and accepts the OAuth
    /// client, without anything that could count as a failed login: it asks for a grant that no service
    /// has. Tells the service's clock.
    ///
    /// # Errors
    /// What is wrong with the service.
    pub fn knock(&self, client_secret: Option<&Secret>, timeout: Duration) -> Result<Option<Timestamp>, Failure> {
        let mut response = self.post("grant_type=none", client_secret, timeout)?;
        match self.read(&mut response) {
            Err(Failure::Rejected(reason)) if reason != answer::CLIENT_REJECTED => Ok(date(&response)),
            Err(Failure::Protocol(_)) if response.status() == 400 => Ok(date(&response)),
            Err(failure) => Err(failure),
            Ok(_) => Err(self.unspoken("it gives tokens for nothing")),
        }
    }

    /// What a request that had no answer failed of.
    fn failure(&self, error: ureq::Error) -> Failure {
        let place = &self.profile.login_url;
        let passing = |trouble: String, reach| Failure::Passing { trouble, retry_after: None, reach };
        match error {
            ureq::Error::HostNotFound => passing(format!("cannot find the host of {place}"), Reach::Unsent),
            ureq::Error::Timeout(phase) => passing(
                format!("{place} did not answer in time"),
                match phase {
                    Timeout::Resolve | Timeout::Connect => Reach::Unsent,
                    _ => Reach::Received,
                },
            ),
            ureq::Error::ConnectProxyFailed(_) => {
                passing(format!("the proxy does not connect to {place}"), Reach::Unsent)
            }
            ureq::Error::InvalidProxyUrl => {
                Failure::Configuration("the proxy's URL cannot be read: check HTTPS_PROXY".to_owned())
            }
            ureq::Error::Rustls(e) => self.distrust(&e),
            ureq::Error::Tls(e) => self.unspoken(&format!("TLS failed: {e}")),
            ureq::Error::Io(e) => match tls_error(&e) {
                Some(e) => self.distrust(e),
                None => {
                    // Only these say for certain that the request was never sent.
                    let unsent = matches!(
                        e.kind(),
                        io::ErrorKind::ConnectionRefused
                            | io::ErrorKind::HostUnreachable
                            | io::ErrorKind::NetworkUnreachable
                            | io::ErrorKind::AddrNotAvailable
                    ) || is_lookup_error(&e);
                    let reach = if unsent { Reach::Unsent } else { Reach::Received };
                    passing(format!("cannot reach {place}: {e}"), reach)
                }
            },
            // The texts of the others may quote what was received.
            _ => self.unspoken("it does not speak HTTP as it should"),
        }
    }

    fn distrust(&self, error: &rustls::Error) -> Failure {
        match error {
            rustls::Error::InvalidCertificate(reason) => {
                Failure::Untrusted(format!("the certificate of {} is not trusted: {reason}", self.profile.login_url))
            }
            _ => self.unspoken(&format!("TLS failed: {error}")),
        }
    }

    fn unspoken(&self, trouble: &str) -> Failure {
        Failure::Protocol(format!("{}: {trouble}", self.profile.login_url))
    }

    /// The answer's tokens, or what it means that it has none.
    fn read(&self, response: &mut Response<Body>) -> Result<super::Tokens, Failure> {
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec().map_err(|e| match e {
            ureq::Error::BodyExceedsLimit(_) => self.unspoken("its answer is longer than 1 MiB"),
            e => self.failure(e),
        })?;
        answer::read(status, retry_after.as_deref(), &Zeroizing::new(body))
    }
}

impl LoginService for HttpLoginService<'_> {
    fn request(&self, grant: &Grant<'_>, client_secret: Option<&Secret>, timeout: Duration) -> Answer {
        match self.post(&self.form(grant), client_secret, timeout) {
            Ok(mut response) => Answer { date: date(&response), outcome: self.read(&mut response) },
            Err(failure) => Answer { outcome: Err(failure), date: None },
        }
    }
}

/// The answer's `Date` (RFC 9110 section 6.6.1).
fn date(response: &Response<Body>) -> Option<Timestamp> {
    let text = response.headers().get("date")?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// The TLS error inside an I/O error, if that is what it is.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether the host's name could not be looked up: std has no kind for it.
fn is_lookup_error(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.to_string().contains("lookup address")
}

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::*;

    fn profile(zone: Option<&str>) -> Profile {
        Profile { zone: zone.map(str::to_owned), ..Profile::new("p", "me+you@example.com") }
    }

    #[test]
    fn every_value_is_percent_encoded() {
        let (profile, password, code) = (profile(None), Secret::new("a&b+c%d=e f\u{e9}"), Secret::new("012345"));
        let grant =
            Grant::Password(Credentials { username: &profile.username, password: &password, mfa_token: Some(&code) });
        assert_eq!(
            &**HttpLoginService::new(&profile).form(&grant),
            "username=me%2Byou%40example.com&password=a%26b%2Bc%25d%3De+f%C3%A9&mfa_token=012345&grant_type=password"
        );
    }

    #[test]
    fn a_zone_asks_for_a_token() {
        let (profile, password) = (profile(Some("acme")), Secret::new("p"));
        let grant = Grant::Password(Credentials { username: "me", password: &password, mfa_token: None });
        assert_eq!(
            &**HttpLoginService::new(&profile).form(&grant),
            "username=me&password=p&grant_type=password&response_type=token"
        );
    }

    #[test]
    fn the_public_client_is_the_edge_cli() {
        let profile = profile(None);
        let service = HttpLoginService::new(&profile);
        assert_eq!(&**service.authorization(None), "Basic ZWRnZWNsaTplZGdlY2xpc2VjcmV0");
        assert_eq!(&**service.authorization(Some(&Secret::new(""))), "Basic ZWRnZWNsaTo=");
    }
}
