//! Where a fleet's shared cache is.

use std::fmt;

use url::Url;

use super::is_loopback;

const DEFAULT_PORT: u16 = 6379;

/// A Redis or Valkey server, as `rediss://user@host:port/database` names it. It has no password: that is a
/// secret, and this is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The ACL user; the server's default user if none is named.
    pub username: Option<String>,
    /// The database's number.
    pub database: u32,
}

impl RedisUrl {
    /// Reads `rediss://` or `redis://` (Valkey's `valkeys://` and `valkey://` mean the same), a user, a host, a
    /// port and a database's number, all but the host optional.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str, allow_plain: bool) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "not a URL")?;
        let tls = match url.scheme() {
            "rediss" | "valkeys" => true,
            "redis" | "valkey" => false,
            _ => return Err("neither rediss:// nor redis://"),
        };
        if url.password().is_some() {
            return Err("a URL with a password in it: it belongs into the secret store, as cache_password");
        }
        if url.query().is_some() || url.fragment().is_some() || url.username().contains('%') {
            return Err("user, host, port and the database's number, and nothing else, without % escapes");
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("a URL without a host")?;
        if host.contains('%') {
            return Err("a host with a % escape");
        }
        if !tls && !allow_plain && !is_loopback(host) {
            return Err("redis:// without TLS is for loopback only (allow-plain-redis = true accepts it elsewhere)");
        }
        let database = match url.path().trim_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| "the path is the database's number")?,
        };
        Ok(RedisUrl {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            username: Some(url.username()).filter(|name| !name.is_empty()).map(str::to_owned),
            database,
        })
    }

    /// The server, told to a person.
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// The URL that reads as this.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let user = self.username.as_ref().map(|name| format!("{name}@")).unwrap_or_default();
        write!(f, "{scheme}://{user}{}/{}", self.place(), self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_cache_is_and_reads_as_it_is_written() {
        for (text, written) in [
            ("rediss://ci@cache.example:6380/2", "rediss://ci@cache.example:6380/2"),
            ("valkeys://cache.example", "rediss://cache.example:6379/0"),
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://127.0.0.1:7000/", "redis://127.0.0.1:7000/0"),
            ("redis://[::1]:7000/1", "redis://[::1]:7000/1"),
        ] {
            let url = RedisUrl::parse(text, false).unwrap();
            assert_eq!(url.to_string(), written);
            assert_eq!(RedisUrl::parse(written, false).unwrap(), url);
        }
    }

    #[test]
    fn what_is_no_such_url_or_would_show_a_secret_is_refused() {
        for bad in [
            "",
            "cache.example:6380",
            "https://cache.example",
            "rediss://",
            "rediss:///0",
            "rediss://user:hunter2@cache.example",
            "rediss://:hunter2@cache.example",
            "rediss://cache.example/zero",
            "rediss://cache.example/-1",
            "rediss://cache.example/0?insecure=true",
            "rediss://cache.example/0#insecure",
            "rediss://a%40b@cache.example/0",
            "redis://cache.example/0",
            "redis://10.0.0.7",
        ] {
            assert!(!RedisUrl::parse(bad, false).expect_err(bad).contains("hunter2"));
        }
        assert!(RedisUrl::parse("redis://10.0.0.7", true).is_ok());
    }
}
