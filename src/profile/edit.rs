//! config.toml, changed: one profile written or removed, everything else left as the person wrote it.

use std::fs;
use std::io;
use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{DEFAULT_API_HOST, DEFAULT_CLIENT_ID, DEFAULT_LOGIN_URL, Mfa, Profile, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// Writes the profile, instead of the one of its name if there is one. The first profile becomes the
/// default one.
///
/// # Errors
/// [`ErrorKind::Usage`] if the configuration cannot be read or written; it is then as it was.
pub fn write(path: &Path, profile: &Profile) -> Result<()> {
    let mut document = load(path)?;
    let profiles = document.entry("profile").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let profiles = profiles.as_table_mut().ok_or_else(|| cannot(path, "its profile is not a table"))?;
    let first = profiles.is_empty();
    let entry = profiles.entry(&profile.name).or_insert_with(|| Item::Table(Table::new()));
    let table = entry.as_table_mut().ok_or_else(|| cannot(path, "its profile is not a table"))?;
    fill(table, profile);
    if first && !document.contains_key("default-profile") {
        document.insert("default-profile", value(&profile.name));
    }
    save(path, &document)
}

/// Removes the profile of this name, and the default if it was that.
///
/// # Errors
/// As for [`write()`].
pub fn remove(path: &Path, name: &str) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut document = load(path)?;
    if let Some(profiles) = document.get_mut("profile").and_then(Item::as_table_mut) {
        profiles.remove(name);
    }
    if document.get("default-profile").and_then(Item::as_str) == Some(name) {
        document.remove("default-profile");
    }
    save(path, &document)
}

/// What is as it is by default is left out, unless the person wrote it.
fn fill(table: &mut Table, profile: &Profile) {
    let mut set = |key: &str, wanted: Option<toml_edit::Value>| match wanted {
        None => drop(table.remove(key)),
        Some(wanted) => match table.get_mut(key).and_then(Item::as_value_mut) {
            // The decoration is the person's: a comment behind the value, perhaps.
            Some(old) => {
                let decor = old.decor().clone();
                *old = wanted;
                *old.decor_mut() = decor;
            }
            None => drop(table.insert(key, Item::Value(wanted))),
        },
    };
    let text = |text: &str| Some(text.into());
    let words = |words: &[String]| Some(words.iter().collect::<Array>().into());
    let path = |path: &Path| text(&path.to_string_lossy());
    set("username", text(&profile.username));
    match &profile.zone {
        Some(zone) => {
            set("login-url", None);
            set("zone", text(zone));
        }
        None => {
            set("zone", None);
            set("login-url", text(&profile.login_url).filter(|_| profile.login_url != DEFAULT_LOGIN_URL));
        }
    }
    set("api-hosts", words(&profile.api_hosts).filter(|_| profile.api_hosts != [DEFAULT_API_HOST]));
    set("mfa", text(profile.mfa.name()));
    let mfa_command = match &profile.mfa {
        Mfa::Command(command) => words(command),
        _ => None,
    };
    set("mfa-command", mfa_command);
    set("secret-store", text(profile.store.name()));
    let (secret_file, secret_command) = match &profile.store {
        Store::File(file) => (path(file), None),
        Store::Command(command) => (None, words(command)),
        Store::Keychain | Store::Env => (None, None),
    };
    set("secret-file", secret_file);
    set("secret-command", secret_command);
    set("ca-bundle", profile.ca_bundle.as_deref().and_then(path));
    set("client-id", text(&profile.client_id).filter(|_| profile.client_id != DEFAULT_CLIENT_ID));
    set("allow-http", profile.allow_http.then(|| true.into()));
    set("shared-cache", profile.shared_cache.as_ref().map(|url| url.to_string().into()));
    set("allow-plain-redis", profile.allow_plain_redis.then(|| true.into()));
}

fn load(path: &Path) -> Result<DocumentMut> {
    let text = match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.map_err(|e| cannot(path, &e.to_string()))?,
    };
    text.parse().map_err(|_| cannot(path, "it is not TOML"))
}

fn save(path: &Path, document: &DocumentMut) -> Result<()> {
    // A configuration that is a link (to a repository of such files, say) stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = target.parent().unwrap_or(Path::new("."));
    files::create_private_dir(directory)
        .and_then(|()| files::replace(&target, document.to_string().as_bytes()))
        .map_err(|e| cannot(path, &e.to_string()))
}

fn cannot(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("cannot change the configuration {}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::profile;
    use super::*;

    #[test]
    fn a_written_profile_is_read_back_and_the_rest_is_untouched() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        let theirs = "# mine\n[profile.other] # keep\nusername = \"you\"   # keep too\n";
        fs::write(&path, theirs).unwrap();
        let written = Profile {
            mfa: Mfa::Command(vec!["a".into(), "b c".into()]),
            store: Store::File("/x/y".into()),
            ca_bundle: Some("/ca.pem".into()),
            client_id: "other".into(),
            ..profile()
        };
        write(&path, &written).unwrap();
        assert_eq!(Config::load(&path).unwrap().profile(Some("work")).unwrap(), written);
        write(&path, &profile()).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.profile(Some("work")).unwrap(), profile());
        assert!(fs::read_to_string(&path).unwrap().starts_with(theirs));
        remove(&path, "work").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    }

    #[test]
    fn the_first_profile_is_the_default_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("new/config.toml");
        write(&path, &profile()).unwrap();
        write(&path, &Profile { name: "second".into(), ..profile() }).unwrap();
        assert_eq!(Config::load(&path).unwrap().profile(None).unwrap().name, "work");
        remove(&path, "work").unwrap();
        assert_eq!(Config::load(&path).unwrap().default_name(), "default");
    }
}
