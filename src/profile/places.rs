//! Where the configuration and the cache are on this machine.

use std::env;
use std::path::PathBuf;

use directories::ProjectDirs;

use crate::error::{Error, ErrorKind, Result};

/// The places of this user's files.
#[derive(Clone, Debug)]
pub struct Places {
    /// config.toml.
    pub config: PathBuf,
    /// The cache directory.
    pub cache: PathBuf,
}

impl Places {
    /// As `APIGEE_CREDENTIAL_CONFIG` and `APIGEE_CREDENTIAL_CACHE_DIR` say; else where the platform keeps such
    /// things (on Linux below `XDG_CONFIG_HOME` and `XDG_CACHE_HOME`).
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if this user has no home directory and a variable is not set.
    pub fn from_environment() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (config, cache) = (set("APIGEE_CREDENTIAL_CONFIG"), set("APIGEE_CREDENTIAL_CACHE_DIR"));
        if let (Some(config), Some(cache)) = (&config, &cache) {
            return Ok(Places { config: config.clone(), cache: cache.clone() });
        }
        let platform = ProjectDirs::from("", "", "apigee-credential").ok_or_else(|| {
            Error::new(ErrorKind::Usage, "this user has no home directory")
                .hint("set APIGEE_CREDENTIAL_CONFIG and APIGEE_CREDENTIAL_CACHE_DIR")
        })?;
        Ok(Places {
            config: config.unwrap_or_else(|| platform.config_dir().join("config.toml")),
            cache: cache.unwrap_or_else(|| platform.cache_dir().to_owned()),
        })
    }
}
