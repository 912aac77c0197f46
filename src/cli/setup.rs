//! `setup`: store the account's secrets and prove them by one login.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::arguments::SetupArguments;
use super::{Context, terminal};
use crate::broker::Presented;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::{self, Mfa, MfaKind, Profile, Store, StoreKind};
use crate::secret::Secret;
use crate::secrets::{Secrets, dotenv};

const MAX_INPUT_BYTES: u64 = 64 * 1024;

#[inline(never)]
pub(super) fn run(context: &Context, arguments: Box<SetupArguments>) -> Result<()> {
    let config = context.config()?;
    let name = context.profile.as_deref().unwrap_or_else(|| config.default_name());
    let before = config.written(name)?;
    let env_file = arguments.from_env_file.as_deref().map(read_env_file).transpose()?;
    let username = username(&arguments, env_file.as_deref().map(String::as_str), before.as_ref())?;
    let mut profile = describe(name, username, &arguments, before.as_ref())?;

    let mut passcode = None;
    let mut secrets = if arguments.passcode {
        if profile.store != Store::Keychain {
            return Err(Error::new(
                ErrorKind::Usage,
                "--passcode needs the keychain: only there a refresh token is kept",
            ));
        }
        passcode = Some(ask_passcode(&profile)?);
        profile.mfa = Mfa::None;
        Secrets::default()
    } else if reads_only(&profile.store) {
        let broker = context.broker(&profile);
        broker.store().secrets(broker.deadline())?
    } else {
        take_secrets(&arguments, env_file.as_deref().map(String::as_str), &profile)?
    };
    // What the person did not name stays, this password too.
    if profile.shared_cache.is_some() && secrets.cache_password.is_none() {
        secrets.cache_password = before.as_ref().and_then(|before| {
            let broker = context.broker(before);
            broker.store().secrets(broker.deadline()).ok()?.cache_password
        });
    }
    // Who gives no shared secret and says nothing of MFA has none.
    if arguments.mfa.is_none() && profile.mfa == Mfa::SharedSecret && secrets.shared_secret.is_none() {
        profile.mfa = Mfa::None;
    }

    let broker = context.broker(&profile);
    // A keychain that cannot be used is found out before a login is spent.
    broker.store().refresh_token(broker.deadline())?;
    let proof = match &passcode {
        Some(passcode) => Some(broker.prove(&Presented::Passcode(passcode))?),
        None if arguments.no_verify => None,
        None => Some(broker.prove(&Presented::Secrets(&secrets))?),
    };
    if !reads_only(&profile.store) {
        broker.store().keep(&secrets, broker.deadline())?;
    }
    profile::write(&context.places.config, &profile)?;
    match proof {
        Some(proof) => broker.keep(proof)?,
        None => broker.start_over()?,
    }
    if let Some(before) = before.filter(|before| before.store == Store::Keychain && profile.store != Store::Keychain) {
        let old = context.broker(&before);
        let removed =
            old.store().forget(old.deadline()).and_then(|()| old.store().keep_refresh_token(None, old.deadline()));
        if let Err(e) = removed {
            log::warn!("the secrets of before could not be removed from the keychain: {e}");
        }
    }
    terminal::clear();
    terminal::say(&format!(
        "profile {} is set up: {} at {}, secrets in the {} store",
        profile.name,
        profile.username,
        profile.login_url,
        profile.store.name()
    ));
    Ok(())
}

/// The profile that the arguments describe; what they leave open is as it was, or as it is by default.
fn describe(name: &str, username: String, arguments: &SetupArguments, before: Option<&Profile>) -> Result<Profile> {
    let base = before.cloned().unwrap_or_else(|| Profile::new(name, &username));
    if username.is_empty() || username.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::Usage, "the username is empty or has control characters in it"));
    }
    let allow_http = arguments.allow_http || base.allow_http;
    let (login_url, zone) = match (&arguments.login_url, &arguments.zone) {
        (Some(url), _) => (profile::login_url(url, allow_http)?, None),
        (None, Some(zone)) => (profile::zone_url(zone)?, Some(zone.clone())),
        (None, None) => (base.login_url, base.zone),
    };
    if arguments.passcode && zone.is_none() {
        return Err(Error::new(ErrorKind::Usage, "--passcode goes with --zone: passcodes are the zones'"));
    }
    arguments.api_hosts.iter().try_for_each(|host| profile::check_api_host(host))?;
    let ca_bundle = match &arguments.ca_bundle {
        Some(path) => Some(absolute(path)?),
        None => base.ca_bundle,
    };
    let allow_plain_redis = arguments.allow_plain_redis || base.allow_plain_redis;
    let shared_cache = match arguments.shared_cache.as_deref() {
        Some("none") => None,
        Some(url) => Some(profile::shared_cache(url, allow_plain_redis)?),
        None => base.shared_cache,
    };
    if arguments.passcode && shared_cache.is_some() {
        return Err(Error::new(
            ErrorKind::Usage,
            "--passcode does not go with a shared cache: what is shared is sealed with the account's password",
        ));
    }
    Ok(Profile {
        name: base.name,
        username,
        login_url,
        zone,
        api_hosts: if arguments.api_hosts.is_empty() { base.api_hosts } else { arguments.api_hosts.clone() },
        mfa: mfa(arguments, base.mfa)?,
        store: store(arguments, base.store)?,
        ca_bundle,
        client_id: arguments.client_id.clone().unwrap_or(base.client_id),
        allow_http,
        shared_cache,
        allow_plain_redis,
    })
}

fn mfa(arguments: &SetupArguments, before: Mfa) -> Result<Mfa> {
    let command = arguments.mfa_command.as_deref().map(|line| words(line, "--mfa-command")).transpose()?;
    match (arguments.mfa, command) {
        (None | Some(MfaKind::Command), Some(command)) => Ok(Mfa::Command(command)),
        (Some(_), Some(_)) => Err(Error::new(ErrorKind::Usage, "--mfa-command goes with --mfa command")),
        (Some(MfaKind::Command), None) => match before {
            Mfa::Command(_) => Ok(before),
            _ => Err(Error::new(ErrorKind::Usage, "--mfa command needs --mfa-command")),
        },
        (Some(MfaKind::SharedSecret), None) => Ok(Mfa::SharedSecret),
        (Some(MfaKind::Prompt), None) => Ok(Mfa::Prompt),
        (Some(MfaKind::None), None) => Ok(Mfa::None),
        // Whether the account has MFA, the secrets will tell.
        (None, None) => Ok(if before == Mfa::None { Mfa::SharedSecret } else { before }),
    }
}

fn store(arguments: &SetupArguments, before: Store) -> Result<Store> {
    let command = arguments.secret_command.as_deref().map(|line| words(line, "--secret-command")).transpose()?;
    let file = arguments.secret_file.as_deref().map(absolute).transpose()?;
    match (arguments.secret_store, file, command) {
        (None | Some(StoreKind::File), Some(file), None) => Ok(Store::File(file)),
        (None | Some(StoreKind::Command), None, Some(command)) => Ok(Store::Command(command)),
        (_, Some(_), _) => Err(Error::new(ErrorKind::Usage, "--secret-file goes with --secret-store file")),
        (_, _, Some(_)) => Err(Error::new(ErrorKind::Usage, "--secret-command goes with --secret-store command")),
        (None, None, None) => Ok(before),
        (Some(StoreKind::Keychain), None, None) => Ok(Store::Keychain),
        (Some(StoreKind::Env), None, None) => Ok(Store::Env),
        (Some(StoreKind::File), None, None) => match before {
            Store::File(_) => Ok(before),
            _ => Err(Error::new(ErrorKind::Usage, "--secret-store file needs --secret-file")),
        },
        (Some(StoreKind::Command), None, None) => match before {
            Store::Command(_) => Ok(before),
            _ => Err(Error::new(ErrorKind::Usage, "--secret-store command needs --secret-command")),
        },
    }
}

/// A command's words, as a POSIX shell splits them.
fn words(line: &str, option: &str) -> Result<Vec<String>> {
    shlex::split(line)
        .filter(|words| words.first().is_some_and(|word| !word.is_empty()))
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("{option}: no command, or an open quote")))
}

/// The helper is started anywhere: what is relative to here would be relative to nowhere.
fn absolute(path: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).map_err(|e| Error::new(ErrorKind::Usage, format!("{}: {e}", path.display())))
}

/// Whether this program only reads the store.
fn reads_only(store: &Store) -> bool {
    match store {
        Store::Keychain => false,
        Store::File(path) => path.is_dir(),
        Store::Env | Store::Command(_) => true,
    }
}

fn username(arguments: &SetupArguments, env_file: Option<&str>, before: Option<&Profile>) -> Result<String> {
    if let Some(username) = &arguments.username {
        return Ok(username.clone());
    }
    if let Some(text) = env_file {
        return dotenv::required(text, "EDGE_USER_EMAIL").map(|email| email.expose().to_owned());
    }
    if let Some(before) = before {
        return Ok(before.username.clone());
    }
    if !is_interactive() || arguments.stdin {
        return Err(Error::new(ErrorKind::Usage, "no username given").hint("add --username EMAIL"));
    }
    terminal::ask("Email: ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|e| unreadable(&e))?;
    Ok(line.trim().to_owned())
}

/// The secrets, from where the person said.
fn take_secrets(arguments: &SetupArguments, env_file: Option<&str>, profile: &Profile) -> Result<Secrets> {
    if arguments.stdin {
        let mut json = Zeroizing::new(Vec::new());
        io::stdin().lock().take(MAX_INPUT_BYTES).read_to_end(&mut json).map_err(|e| unreadable(&e))?;
        let secrets = Secrets::from_json(&json)?;
        if secrets.password.is_none() {
            return Err(Error::new(ErrorKind::Usage, "standard input has no password")
                .hint(r#"expected {"password":"…","shared_secret":"…"}"#));
        }
        return Ok(secrets);
    }
    if let Some(text) = env_file {
        let password = dotenv::required(text, "EDGE_USER_PWD")?;
        return Secrets::from_parts(Some(password), dotenv::value(text, "SHARED_SECRET"));
    }
    if !is_interactive() {
        return Err(Error::new(ErrorKind::Usage, "there is no terminal to ask for the secrets on")
            .hint(r#"pipe {"password":"…","shared_secret":"…"} into `apigee-credential setup --stdin`"#));
    }
    let password = prompt(&format!("Password of {}: ", profile.username))?;
    if password.expose().is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no password given"));
    }
    let shared_secret = match (&profile.mfa, arguments.mfa) {
        (Mfa::SharedSecret, Some(_)) => Some(prompt("Shared secret of its MFA: ")?),
        (Mfa::SharedSecret, None) => Some(prompt("Shared secret of its MFA (empty if it has none): ")?),
        _ => None,
    };
    let cache_password = match &arguments.shared_cache {
        Some(_) if profile.shared_cache.is_some() => {
            Some(prompt("Password of the shared cache (empty if it has none): ")?)
        }
        _ => None,
    };
    Ok(Secrets { cache_password, ..Secrets::from_parts(Some(password), shared_secret)? })
}

fn ask_passcode(profile: &Profile) -> Result<Secret> {
    terminal::say(&format!("Get a one-time passcode at {}", profile.passcode_page()));
    let passcode = if is_interactive() {
        prompt("Passcode: ")?
    } else {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().take(MAX_INPUT_BYTES).read_line(&mut line).map_err(|e| unreadable(&e))?;
        Secret::new(line.trim())
    };
    if passcode.expose().is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no passcode given"));
    }
    Ok(passcode)
}

fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks on the terminal; what is typed is not shown.
fn prompt(question: &str) -> Result<Secret> {
    rpassword::prompt_password(question).map(Secret::new).map_err(|e| unreadable(&e))
}

fn read_env_file(path: &Path) -> Result<Zeroizing<String>> {
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|e| Error::new(ErrorKind::Usage, format!("cannot read {}: {e}", path.display())))
}

fn unreadable(error: &io::Error) -> Error {
    Error::new(ErrorKind::Usage, format!("cannot read the answer: {error}"))
}
