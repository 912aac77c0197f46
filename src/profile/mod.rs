//! A profile: one account at one login service, and how it signs in. Read from config.toml or, where there
//! is none, from the environment.

mod config;
mod edit;
mod places;
mod redis_url;

use std::path::PathBuf;

use serde::Deserialize;

pub use config::Config;
pub use edit::{remove, write};
pub use places::Places;
pub use redis_url::RedisUrl;

use crate::error::{Error, ErrorKind, Result};
use crate::token::Identity;

/// The login service when the profile names none.
pub const DEFAULT_LOGIN_URL: &str = "https://login.apigee.com";
/// The management API's host, for which `get` answers when the profile names none.
pub const DEFAULT_API_HOST: &str = "api.enterprise.apigee.com";
/// The public OAuth client of Apigee's own command-line tools.
pub const DEFAULT_CLIENT_ID: &str = "edgecli";
/// That client's secret, which is no secret.
pub const DEFAULT_CLIENT_SECRET: &str = "edgeclisecret";
/// The profile's name when none is given.
pub const DEFAULT_PROFILE: &str = "default";

/// One Apigee account at one login service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name; letters, digits and `._@+-`.
    pub name: String,
    /// The account's name, at Apigee an email address.
    pub username: String,
    /// The login service's base URL, without a slash at its end.
    pub login_url: String,
    /// The SAML or LDAP identity zone, if the account is in one.
    pub zone: Option<String>,
    /// The hosts for which `get` answers: `host` or `host:port`.
    pub api_hosts: Vec<String>,
    /// Where MFA tokens come from.
    pub mfa: Mfa,
    /// Where the secrets are.
    pub store: Store,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The OAuth client.
    pub client_id: String,
    /// Whether a login service without TLS is accepted elsewhere than on loopback.
    pub allow_http: bool,
    /// The cache that this machine shares with others, if there is one.
    pub shared_cache: Option<RedisUrl>,
    /// Whether a shared cache without TLS is accepted elsewhere than on loopback.
    pub allow_plain_redis: bool,
}

/// Where MFA tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mfa {
    /// Made from the account's shared secret.
    SharedSecret,
    /// A command prints them.
    Command(Vec<String>),
    /// The person at the terminal types them.
    Prompt,
    /// The account has none.
    None,
}

/// Where secrets live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// The operating system's keychain.
    Keychain,
    /// The environment.
    Env,
    /// A JSON file, or a directory with one file a secret.
    File(PathBuf),
    /// A command prints their JSON.
    Command(Vec<String>),
}

/// [`Mfa`] as it is named in config.toml and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MfaKind {
    /// [`Mfa::SharedSecret`].
    #[default]
    SharedSecret,
    /// [`Mfa::Command`].
    Command,
    /// [`Mfa::Prompt`].
    Prompt,
    /// [`Mfa::None`].
    None,
}

/// [`Store`] as it is named in config.toml and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// [`Store::Keychain`].
    #[default]
    Keychain,
    /// [`Store::Env`].
    Env,
    /// [`Store::File`].
    File,
    /// [`Store::Command`].
    Command,
}

impl Mfa {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Mfa::SharedSecret => "shared-secret",
            Mfa::Command(_) => "command",
            Mfa::Prompt => "prompt",
            Mfa::None => "none",
        }
    }
}

impl Store {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Store::Keychain => "keychain",
            Store::Env => "env",
            Store::File(_) => "file",
            Store::Command(_) => "command",
        }
    }
}

impl Profile {
    /// An account as it is by default: at Apigee's own login service, under MFA, its secrets in the keychain.
    pub fn new(name: &str, username: &str) -> Self {
        Profile {
            name: name.to_owned(),
            username: username.to_owned(),
            login_url: DEFAULT_LOGIN_URL.to_owned(),
            zone: None,
            api_hosts: vec![DEFAULT_API_HOST.to_owned()],
            mfa: Mfa::SharedSecret,
            store: Store::Keychain,
            ca_bundle: None,
            client_id: DEFAULT_CLIENT_ID.to_owned(),
            allow_http: false,
            shared_cache: None,
            allow_plain_redis: false,
        }
    }

    /// What this profile's tokens belong to.
    pub fn identity(&self) -> Identity {
        Identity {
            username: self.username.clone(),
            login_url: self.login_url.clone(),
            client_id: self.client_id.clone(),
        }
    }

    /// The page where a person in a zone gets a one-time passcode.
    pub fn passcode_page(&self) -> String {
        format!("{}/passcode", self.login_url)
    }

    /// Whether `host` (`host` or `host:port`, as a URL of `scheme` has it) is one of this profile's API
    /// hosts. The default port may be given or not; case does not matter; nothing else is forgiven.
    pub fn serves(&self, scheme: &str, host: &str) -> bool {
        let default_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return false,
        };
        let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
        if scheme == "http" && !is_loopback(host) {
            return false;
        }
        self.api_hosts.iter().any(|ours| bare(ours) == bare(host))
    }
}

/// A login service's base URL in its one form.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is not one, or is plain http to elsewhere than this machine without
/// `allow_http`.
pub fn login_url(text: &str, allow_http: bool) -> Result<String> {
    config::parse_login_url(text, allow_http)
        .map_err(|message| Error::new(ErrorKind::Usage, format!("login-url {text:?}: {message}")))
}

/// Where a shared cache is.
///
/// # Errors
/// [`ErrorKind::Usage`] if the URL does not say, holds a password, or is without TLS to elsewhere than this
/// machine without `allow_plain`.
pub fn shared_cache(text: &str, allow_plain: bool) -> Result<RedisUrl> {
    // The text is not repeated: there could be a password in it.
    RedisUrl::parse(text, allow_plain)
        .map_err(|message| Error::new(ErrorKind::Usage, format!("shared-cache: {message}")))
}

/// The login service of an identity zone.
///
/// # Errors
/// [`ErrorKind::Usage`] if that is no zone's name.
pub fn zone_url(zone: &str) -> Result<String> {
    config::zone_login_url(zone)
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("zone {zone:?}: letters, digits and dashes only")))
}

/// Checks that `text` is `host` or `host:port`.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is not.
pub fn check_api_host(text: &str) -> Result<()> {
    if config::is_host(text) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, format!("api host {text:?}: a host, or host:port, without scheme and path")))
}

/// Whether a URL's host (with or without a port) is this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `name` can name a profile: it names files, too.
pub fn is_profile_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'+' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn profile() -> Profile {
        let api_hosts = [DEFAULT_API_HOST, "[::1]:8443", "127.0.0.1"].map(str::to_owned).to_vec();
        Profile { api_hosts, ..Profile::new("work", "me@example.com") }
    }

    #[test]
    fn a_profile_serves_its_own_hosts_alone() {
        let profile = profile();
        for (scheme, host) in [
            ("https", "api.enterprise.apigee.com"),
            ("https", "API.Enterprise.Apigee.com"),
            ("https", "api.enterprise.apigee.com:443"),
            ("https", "[::1]:8443"),
            ("http", "[::1]:8443"),
            ("http", "127.0.0.1:80"),
        ] {
            assert!(profile.serves(scheme, host), "{scheme} {host}");
        }
        for (scheme, host) in [
            ("http", "api.enterprise.apigee.com"),
            ("https", "api.enterprise.apigee.com:8443"),
            ("https", "api.enterprise.apigee.com:80"),
            ("https", "api.enterprise.apigee.com."),
            ("https", "api.enterprise.apigee.com.evil.example"),
            ("https", "evil.example"),
            ("https", "user@api.enterprise.apigee.com"),
            ("https", "api%2eenterprise.apigee.com"),
            ("https", "\u{ff41}pi.enterprise.apigee.com"),
            ("https", "[::1]"),
            ("https", ""),
            ("ssh", "api.enterprise.apigee.com"),
            ("HTTPS", "api.enterprise.apigee.com"),
        ] {
            assert!(!profile.serves(scheme, host), "{scheme} {host}");
        }
    }

    #[test]
    fn loopback_is_this_machine_alone() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9000", "127.9.9.9", "[::1]", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.evil.example", "128.0.0.1", "[::2]:80", "0.0.0.0", "example.com", "127.0.0.1.evil"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_profile_name_is_a_harmless_file_name() {
        for name in ["work", "a.b", "me@corp+x", "W-1_2"] {
            assert!(is_profile_name(name), "{name}");
        }
        for name in ["", ".", "..", ".x", "-x", "a/b", "a\\b", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(!is_profile_name(name), "{name}");
        }
    }
}
