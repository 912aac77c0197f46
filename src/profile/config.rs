//! config.toml, read: which profiles there are and what each says.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{
    DEFAULT_API_HOST, DEFAULT_CLIENT_ID, DEFAULT_LOGIN_URL, DEFAULT_PROFILE, Mfa, MfaKind, Profile, RedisUrl, Store,
    StoreKind, is_loopback, is_profile_name,
};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, trust};
use crate::secrets::IMPLICIT_VARIABLES;

const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// All profiles, as far as they can be told without judging each.
#[derive(Debug)]
pub struct Config {
    path: PathBuf,
    text: String,
    default_profile: Option<String>,
    profiles: Vec<(Spanned<String>, RawProfile)>,
    implicit: Option<Profile>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawConfig {
    default_profile: Option<String>,
    #[serde(default)]
    profile: BTreeMap<Spanned<String>, RawProfile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawProfile {
    username: Spanned<String>,
    login_url: Option<Spanned<String>>,
    zone: Option<Spanned<String>>,
    api_hosts: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    mfa: MfaKind,
    mfa_command: Option<Vec<String>>,
    #[serde(default)]
    secret_store: StoreKind,
    secret_file: Option<PathBuf>,
    secret_command: Option<Vec<String>>,
    ca_bundle: Option<PathBuf>,
    client_id: Option<String>,
    #[serde(default)]
    allow_http: bool,
    shared_cache: Option<Spanned<String>>,
    #[serde(default)]
    allow_plain_redis: bool,
}

impl Config {
    /// Reads config.toml; where there is none, looks for an implicit profile in the environment.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the file cannot be read or is wrong, naming file, line and key.
    pub fn load(path: &Path) -> Result<Self> {
        match read(path)? {
            Some(text) => Config::parse(path, text),
            None => Config::without_file(path),
        }
    }

    fn without_file(path: &Path) -> Result<Self> {
        let implicit = implicit_profile()?;
        Ok(Config { path: path.to_owned(), text: String::new(), default_profile: None, profiles: Vec::new(), implicit })
    }

    /// The profile of this name, or the default one, reading no more of config.toml than that needs.
    ///
    /// # Errors
    /// As for [`Config::load`] and [`Config::profile`]; a mistake in another profile may go unnoticed.
    pub fn load_profile(path: &Path, name: Option<&str>) -> Result<Profile> {
        let config = match read(path)? {
            Some(text) => Config::parse(path, excerpt(&text, name).unwrap_or(text)),
            None => Config::without_file(path),
        };
        config?.profile(name)
    }

    /// Reads the text of a configuration that is (or might be) in `path`.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self> {
        let raw: RawConfig = toml::from_str(&text).map_err(|e| {
            let span = e.span().unwrap_or(0..0);
            wrong(path, &text, &span, e.message())
        })?;
        // The file's order counts: `get` takes the first profile that fits.
        let mut profiles: Vec<_> = raw.profile.into_iter().collect();
        profiles.sort_by_key(|(name, _)| name.span().start);
        Ok(Config { path: path.to_owned(), text, default_profile: raw.default_profile, profiles, implicit: None })
    }

    /// The name of the profile that is meant when none is given.
    pub fn default_name(&self) -> &str {
        self.default_profile.as_deref().unwrap_or(DEFAULT_PROFILE)
    }

    /// The names of the file's profiles.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(|(name, _)| name.get_ref().as_str())
    }

    /// Whether the file has any profile.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// The profile of this name, or the default one.
    ///
    /// # Errors
    /// [`ErrorKind::NotSetUp`] if there is none; [`ErrorKind::Usage`] if what it says is wrong.
    pub fn profile(&self, name: Option<&str>) -> Result<Profile> {
        let name = name.unwrap_or_else(|| self.default_name());
        check_name(name)?;
        if let Some(profile) = self.implicit.as_ref().filter(|profile| profile.name == name) {
            return Ok(profile.clone());
        }
        self.written(name)?.ok_or_else(|| {
            Error::new(ErrorKind::NotSetUp, format!("there is no profile {name}")).hint(if name == DEFAULT_PROFILE {
                "run `apigee-credential setup`".to_owned()
            } else {
                format!("run `apigee-credential setup --profile {name}`")
            })
        })
    }

    /// The profile of this name, if the file has one; the environment does not count.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the name cannot be one or what the profile says is wrong.
    pub fn written(&self, name: &str) -> Result<Option<Profile>> {
        check_name(name)?;
        let known = self.profiles.iter().find(|(known, _)| known.get_ref() == name);
        known.map(|(name, raw)| self.judge(name, raw)).transpose()
    }

    /// The profile that answers for a host: the named one, else the first whose hosts hold it and whose
    /// username is `username`, when given. `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::NotSetUp`] if the named profile does not exist or there is no profile at all, and
    /// [`ErrorKind::Usage`] if what a profile says is wrong.
    pub fn profile_for(
        &self,
        name: Option<&str>,
        scheme: &str,
        host: &str,
        username: Option<&str>,
    ) -> Result<Option<Profile>> {
        let answers = |profile: &Profile| {
            profile.serves(scheme, host) && username.is_none_or(|username| username == profile.username)
        };
        if name.is_some() || self.implicit.is_some() || self.is_empty() {
            return match self.profile(name) {
                // With nothing set up only the default host is worth a word.
                Err(e) if name.is_none() && host != DEFAULT_API_HOST => {
                    if e.kind() == ErrorKind::NotSetUp {
                        Ok(None)
                    } else {
                        Err(e)
                    }
                }
                other => other.map(|profile| Some(profile).filter(answers)),
            };
        }
        for (name, raw) in &self.profiles {
            let profile = self.judge(name, raw)?;
            if answers(&profile) {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// Turns what a profile says into what it means.
    fn judge(&self, name: &Spanned<String>, raw: &RawProfile) -> Result<Profile> {
        let wrong = |span: &Range<usize>, message: &str| wrong(&self.path, &self.text, span, message);
        let at_name = |message: &str| wrong(&name.span(), message);
        if !is_profile_name(name.get_ref()) {
            return Err(at_name("a profile's name has letters, digits and ._@+- only"));
        }
        let username = raw.username.get_ref();
        if username.is_empty() || username.chars().any(char::is_control) {
            return Err(wrong(&raw.username.span(), "username: empty, or with control characters"));
        }
        let (login_url, zone) = match (&raw.login_url, &raw.zone) {
            (Some(url), Some(_)) => return Err(wrong(&url.span(), "login-url: not together with zone")),
            (Some(url), None) => {
                let parsed = parse_login_url(url.get_ref(), raw.allow_http)
                    .map_err(|message| wrong(&url.span(), &format!("login-url: {message}")))?;
                (parsed, None)
            }
            (None, Some(zone)) => {
                let url = zone_login_url(zone.get_ref())
                    .ok_or_else(|| wrong(&zone.span(), "zone: letters, digits and dashes only"))?;
                (url, Some(zone.get_ref().clone()))
            }
            (None, None) => (DEFAULT_LOGIN_URL.to_owned(), None),
        };
        let api_hosts = match &raw.api_hosts {
            None => vec![DEFAULT_API_HOST.to_owned()],
            Some(hosts) => hosts
                .iter()
                .map(|host| {
                    is_host(host.get_ref())
                        .then(|| host.get_ref().clone())
                        .ok_or_else(|| wrong(&host.span(), "api-hosts: a host, or host:port, without scheme and path"))
                })
                .collect::<Result<_>>()?,
        };
        let shared_cache = raw.shared_cache.as_ref().map(|url| {
            RedisUrl::parse(url.get_ref(), raw.allow_plain_redis)
                .map_err(|message| wrong(&url.span(), &format!("shared-cache: {message}")))
        });
        let command = |command: &Option<Vec<String>>, key: &str| {
            command
                .clone()
                .filter(|words| words.first().is_some_and(|word| !word.is_empty()))
                .ok_or_else(|| at_name(&format!("{key}: missing or empty")))
        };
        // A helper is started anywhere: a relative path is relative to the configuration.
        let place = |path: &PathBuf| self.path.parent().unwrap_or(Path::new("")).join(path);
        Ok(Profile {
            name: name.get_ref().clone(),
            username: username.clone(),
            login_url,
            zone,
            api_hosts,
            mfa: match raw.mfa {
                MfaKind::SharedSecret => Mfa::SharedSecret,
                MfaKind::Command => Mfa::Command(command(&raw.mfa_command, "mfa-command")?),
                MfaKind::Prompt => Mfa::Prompt,
                MfaKind::None => Mfa::None,
            },
            store: match raw.secret_store {
                StoreKind::Keychain => Store::Keychain,
                StoreKind::Env => Store::Env,
                StoreKind::File => {
                    Store::File(place(raw.secret_file.as_ref().ok_or_else(|| at_name("secret-file: missing"))?))
                }
                StoreKind::Command => Store::Command(command(&raw.secret_command, "secret-command")?),
            },
            ca_bundle: raw.ca_bundle.as_ref().map(place),
            client_id: raw.client_id.clone().unwrap_or_else(|| DEFAULT_CLIENT_ID.to_owned()),
            allow_http: raw.allow_http,
            shared_cache: shared_cache.transpose()?,
            allow_plain_redis: raw.allow_plain_redis,
        })
    }
}

/// The file's text, if there is a file; an error if somebody else may have written it, for it can name
/// commands to run.
fn read(path: &Path) -> Result<Option<String>> {
    let unreadable = |reason: &str| {
        Error::new(ErrorKind::Usage, format!("cannot read the configuration {}: {reason}", path.display()))
    };
    let file = match File::open(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        other => other.map_err(|e| unreadable(&e.to_string()))?,
    };
    let metadata = file.metadata().map_err(|e| unreadable(&e.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file"));
    }
    trust::own_or_roots(&metadata).map_err(|distrust| unreadable(&format!("it {}", distrust.reason())))?;
    let mut bytes = files::read_limited(file, &metadata, MAX_CONFIG_BYTES).map_err(|e| unreadable(&e.to_string()))?;
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| unreadable("it is not UTF-8"))?;
    Ok(Some(text))
}

/// The text with an empty line for each line that is about another profile: the cost of a call must not grow
/// with what it is not about. `None` if the file is not as `setup` and most people write it, or does not
/// have the profile; then the whole is read.
fn excerpt(text: &str, name: Option<&str>) -> Option<String> {
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut wanted = name.unwrap_or(DEFAULT_PROFILE);
    let (mut keep, mut found) = (true, false);
    let mut excerpt = String::with_capacity(1024);
    for line in text.lines() {
        if line.starts_with('[') {
            let section = line.strip_prefix("[profile.")?.split_once(']')?;
            let (section, rest) = (section.0, section.1.trim_start());
            if !section.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                || !(rest.is_empty() || rest.starts_with('#'))
            {
                return None;
            }
            keep = section == wanted;
            found |= keep;
        } else if name.is_none() && !found && line.starts_with("default-profile") {
            wanted = line.split('"').nth(1)?;
        }
        if keep {
            excerpt.push_str(line);
        }
        excerpt.push('\n');
    }
    found.then_some(excerpt)
}

/// An error at a place of the configuration: file, line, and the line's key where the message has none.
fn wrong(path: &Path, text: &str, span: &Range<usize>, message: &str) -> Error {
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count();
    let key = text
        .lines()
        .nth(line)
        .and_then(|line| line.split_once('='))
        .map(|(key, _)| key.trim())
        .filter(|key| !message.contains(*key))
        .map(|key| format!("{key}: "))
        .unwrap_or_default();
    let first = message.lines().next().unwrap_or_default();
    Error::new(ErrorKind::Usage, format!("{}:{}: {key}{first}", path.display(), line + 1))
}

fn check_name(name: &str) -> Result<()> {
    if is_profile_name(name) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, format!("{name:?} cannot name a profile"))
        .hint("a profile's name has letters, digits and ._@+- only"))
}

/// A login service's base URL in its one form.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_login_url(text: &str, allow_http: bool) -> std::result::Result<String, &'static str> {
    if text.strip_prefix("https://").is_some_and(is_plain_host) {
        return Ok(text.to_owned());
    }
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    let host = url.host_str().ok_or("a URL without a host")?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(host) => {}
        "http" => return Err("plain http would show the password to the network (allow-http = true accepts that)"),
        _ => return Err("neither https nor http"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a base URL has no ? and no #");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The login service of an identity zone; `None` if that is no zone's name.
pub(super) fn zone_login_url(zone: &str) -> Option<String> {
    let valid = !zone.is_empty()
        && zone.len() <= 63
        && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !zone.starts_with('-');
    valid.then(|| format!("https://{}.login.apigee.com", zone.to_ascii_lowercase()))
}

/// Whether every reader of URLs would read this host name as it stands: what most profiles have, told without
/// the URL parser, which is half of what a warm call would do.
fn is_plain_host(text: &str) -> bool {
    let plain = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && label.starts_with(|c: char| c.is_ascii_lowercase())
            && !label.starts_with("xn--")
    };
    text.len() < 200 && text.split('.').all(plain)
}

pub(super) fn is_host(text: &str) -> bool {
    if is_plain_host(text) {
        return true;
    }
    Url::parse(&format!("https://{text}/")).is_ok_and(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let canonical = format!("{}{port}", url.host_str().unwrap_or_default());
        let text = text.to_ascii_lowercase();
        canonical == text.strip_suffix(":443").unwrap_or(&text)
    })
}

/// `SHARED_SECRET`, `EDGE_USER_EMAIL` and `EDGE_USER_PWD` make a profile where there is no configuration.
fn implicit_profile() -> Result<Option<Profile>> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let [email, password] = IMPLICIT_VARIABLES;
    let (Some(username), Some(_)) = (set(email), set(password)) else {
        return Ok(None);
    };
    if username.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::Usage, format!("{email} has control characters in it")));
    }
    let login_url = match set("SSO_LOGIN_URL") {
        Some(url) => parse_login_url(&url, false)
            .map_err(|message| Error::new(ErrorKind::Usage, format!("SSO_LOGIN_URL: {message}")))?,
        None => DEFAULT_LOGIN_URL.to_owned(),
    };
    let mfa = if set("SHARED_SECRET").is_some() { Mfa::SharedSecret } else { Mfa::None };
    Ok(Some(Profile { login_url, mfa, store: Store::Env, ..Profile::new(DEFAULT_PROFILE, &username) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn message(text: &str) -> String {
        let error = load(text).and_then(|config| config.profile(Some("work"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        error.to_string()
    }

    #[test]
    fn a_profile_needs_only_a_username() {
        let profile = load("[profile.work]\nusername = 'me'").unwrap().profile(Some("work")).unwrap();
        assert_eq!(profile.login_url, DEFAULT_LOGIN_URL);
        assert_eq!(profile.api_hosts, [DEFAULT_API_HOST]);
        assert_eq!((profile.mfa, profile.store), (Mfa::SharedSecret, Store::Keychain));
        assert_eq!(profile.client_id, DEFAULT_CLIENT_ID);
    }

    #[test]
    fn everything_that_a_profile_can_say_is_understood() {
        let config = load(
            r#"
            default-profile = "work"
            [profile.work]
            username = "me"
            zone = "Acme"
            api-hosts = ["api.example:8443", "[::1]"]
            mfa = "command"
            mfa-command = ["ykman", "x"]
            secret-store = "command"
            secret-command = ["vault", "x"]
            ca-bundle = "ca.pem"
            client-id = "other"
            [profile.cloud]
            username = "you"
            login-url = "http://private.example:9099/base/"
            allow-http = true
            secret-store = "file"
            secret-file = "/run/secrets/apigee"
            mfa = "none"
            "#,
        )
        .unwrap();
        let work = config.profile(None).unwrap();
        assert_eq!(work.login_url, "https://acme.login.apigee.com");
        assert_eq!(work.mfa, Mfa::Command(vec!["ykman".into(), "x".into()]));
        assert_eq!(work.store, Store::Command(vec!["vault".into(), "x".into()]));
        assert!(work.ca_bundle.unwrap().is_absolute());
        let cloud = config.profile(Some("cloud")).unwrap();
        assert_eq!(cloud.login_url, "http://private.example:9099/base");
        assert_eq!(cloud.store, Store::File("/run/secrets/apigee".into()));
    }

    #[test]
    fn a_mistake_is_told_with_file_line_and_key() {
        for (line, key) in [
            ("usrname = 'me'", "usrname"),
            ("username = 3", "username"),
            ("username = ''", "username"),
            ("username = \"a\\nb\"", "username"),
            ("login-url = 'login.apigee.com'", "login-url"),
            ("login-url = 'http://login.apigee.com'", "login-url"),
            ("login-url = 'ftp://login.apigee.com'", "login-url"),
            ("login-url = 'https://u:p@login.apigee.com'", "login-url"),
            ("login-url = 'https://login.apigee.com/?x'", "login-url"),
            ("zone = 'a.b'", "zone"),
            ("api-hosts = ['https://x']", "api-hosts"),
            ("api-hosts = 'x'", "api-hosts"),
            ("mfa = 'sms'", "mfa"),
            ("secret-store = 'vault'", "secret-store"),
            ("allow-http = 'yes'", "allow-http"),
        ] {
            let filler = if line.starts_with("username") { "" } else { "username = 'me'\n" };
            let text = format!("[profile.work]\n{filler}{line}\n");
            let told = message(&text);
            let number = if filler.is_empty() { 2 } else { 3 };
            assert!(told.contains(&format!("config.toml:{number}: ")), "{told}");
            assert!(told.contains(key), "{told}");
        }
        assert!(message("[profile.work]\nusername = 'me'\nmfa = 'command'").contains("mfa-command"));
        assert!(message("[profile.work]\nusername = 'me'\nsecret-store = 'file'").contains("secret-file"));
        assert!(message("[profile.work\nusername = 'me'").contains("config.toml:1: "));
    }

    #[test]
    fn an_excerpt_has_the_profile_where_it_was_and_no_other() {
        let text = "# mine\ndefault-profile = \"b\"\n[profile.a]\nusername = 3\n\n[profile.b] # x\nusername = \"b\"\nmfa = \"none\"\n[profile.c]\nnonsense = 1\n";
        for (name, line) in [(None, "username = \"b\""), (Some("b"), "username = \"b\""), (Some("a"), "username = 3")] {
            let excerpt = excerpt(text, name).unwrap();
            let place = |text: &str| text.lines().position(|known| known == line);
            assert_eq!(place(&excerpt), place(text));
            assert!(!excerpt.contains("nonsense"));
        }
        for odd in [
            "[profile.x]\nusername = \"x\"",
            "[profile]\nb = { username = \"b\" }",
            "[profile.\"b\"]\nusername = \"b\"",
            "[profile.b.c]\n[profile.b]\nx = 1",
            "[profile.b]\nusername = \"\"\"b\n[profile.c]\"\"\"",
            "[profile.b]\nmfa-command = [\n[\n\"x\"]]",
            "default-profile = 'b'\n[profile.b]\nusername = \"b\"",
        ] {
            assert_eq!(excerpt(odd, None), None, "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_an_excerpt_says_the_whole_says(
            sections in proptest::collection::vec(("[a-c]", "(mfa = \"none\"\n)?(zone = \"[a-z/]{1,3}\"\n)?"), 0..4),
            default in "(default-profile = \"[a-c]\"\n)?",
            name in proptest::option::of("[a-c]"),
        ) {
            let mut text = default;
            for (name, more) in sections {
                text += &format!("[profile.{name}]\nusername = \"{name}\"\n{more}");
            }
            let name = name.as_deref();
            if let (Some(excerpt), Ok(whole)) = (excerpt(&text, name), Config::parse(Path::new("c"), text.clone())) {
                let part = Config::parse(Path::new("c"), excerpt).unwrap();
                proptest::prop_assert_eq!(part.profile(name), whole.profile(name));
            }
        }


        #[test]
        fn a_plain_host_is_what_the_url_parser_makes_of_it(host in "[a-z0-9.-]{0,12}|[a-zA-Z0-9.:@/%_-]{0,8}") {
            if is_plain_host(&host) {
                let url = Url::parse(&format!("https://{host}")).unwrap();
                proptest::prop_assert_eq!(url.as_str(), format!("https://{}/", host));
            }
        }
    }

    #[test]
    fn the_first_profile_that_fits_host_and_username_answers() {
        let config = load(
            "[profile.z]\nusername = 'z'\n[profile.a]\nusername = 'a'\n[profile.m]\nusername = 'a'\napi-hosts = ['other.example']",
        )
        .unwrap();
        let name =
            |host, username| config.profile_for(None, "https", host, username).unwrap().map(|profile| profile.name);
        assert_eq!(name(DEFAULT_API_HOST, None).as_deref(), Some("z"));
        assert_eq!(name(DEFAULT_API_HOST, Some("a")).as_deref(), Some("a"));
        assert_eq!(name("other.example", None).as_deref(), Some("m"));
        assert_eq!(name("other.example", Some("z")), None);
        assert_eq!(name("evil.example", None), None);
        let named = config.profile_for(Some("a"), "https", "other.example", None).unwrap();
        assert!(named.is_none(), "a named profile answers for its own hosts alone");
    }
}
