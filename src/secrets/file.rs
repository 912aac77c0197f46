//! Secrets in a file (JSON) or a directory with one file a secret, as containers mount them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{SecretStore, Secrets, unavailable};
use crate::clock::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Distrust, trust};
use crate::secret::Secret;

const MAX_SECRET_FILE_BYTES: usize = 64 * 1024;

/// A secret file or a directory of them.
pub(super) struct SecretFile<'a> {
    path: &'a Path,
}

impl<'a> SecretFile<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        SecretFile { path }
    }
}

impl SecretStore for SecretFile<'_> {
    fn secrets(&self, _deadline: Deadline) -> Result<Secrets> {
        if self.path.is_dir() {
            let secret = |name| read(&self.path.join(name)).and_then(|bytes| bytes.map(text).transpose());
            let (password, shared_secret) = (secret("password")?, secret("shared_secret")?);
            if password.is_none() && shared_secret.is_none() {
                return Err(self.absent());
            }
            let secrets = Secrets::from_parts(password, shared_secret)
                .map_err(|e| unavailable(format!("{}: {e}", self.path.display())))?;
            return Ok(Secrets {
                client_secret: secret("client_secret")?,
                cache_password: secret("cache_password")?,
                ..secrets
            });
        }
        let json = read(self.path)?.ok_or_else(|| self.absent())?;
        Secrets::from_store(&json, &self.path.display().to_string())
    }

    fn keep(&self, secrets: &Secrets, _deadline: Deadline) -> Result<()> {
        if self.path.is_dir() {
            return Err(unavailable(format!(
                "{} is a directory: a secret mount is read, not written",
                self.path.display()
            )));
        }
        files::replace(self.path, &secrets.to_json())
            .map_err(|e| unavailable(format!("cannot write {}: {e}", self.path.display())))
    }

    fn forget(&self, _deadline: Deadline) -> Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        files::remove(self.path).map_err(|e| unavailable(format!("cannot remove {}: {e}", self.path.display())))
    }
}

impl SecretFile<'_> {
    fn absent(&self) -> Error {
        Error::new(ErrorKind::NotSetUp, format!("there are no secrets at {}", self.path.display()))
            .hint("run `apigee-credential setup`, or mount the secrets there")
    }
}

/// Reads a secret file, if it is there and nobody else could have written it. Links are followed: a
/// Kubernetes secret mount is made of them.
fn read(path: &Path) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
    let bytes = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.and_then(|file| {
            let metadata = file.metadata()?;
            check(path, &metadata)?;
            files::read_limited(file, &metadata, MAX_SECRET_FILE_BYTES)
        }),
    };
    bytes.map(Some).map_err(|e| unavailable(format!("cannot read {}: {e}", path.display())))
}

fn check(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let verdict = if metadata.is_file() { trust::not_others(metadata) } else { Err(Distrust::Kind) };
    verdict.map_err(|distrust| io::Error::other(format!("it {}", distrust.reason())))?;
    if trust::others_read(metadata) {
        log::warn!("{} can be read by other users", path.display());
    }
    Ok(())
}

/// A mounted secret's text; a line's end at its end is not part of it.
fn text(bytes: zeroize::Zeroizing<Vec<u8>>) -> Result<Secret> {
    let text = std::str::from_utf8(&bytes).map_err(|_| unavailable("a mounted secret is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}
