//! `token`: print a valid token.

use std::fs;
use std::path::Path;

use super::arguments::{Format, TokenArguments};
use super::{Context, answer};
use crate::broker::{Renewal, Request};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::protocol::exec_credential::ApiVersion;
use crate::protocol::{Issued, credential_process, exec_credential, json, plain};

pub(super) fn run(context: &Context, arguments: &TokenArguments) -> Result<()> {
    if arguments.with_refresh_token && !matches!(arguments.format, Format::Json | Format::Env) {
        return Err(Error::new(ErrorKind::Usage, "--with-refresh-token goes with --format json or env"));
    }
    let exec_info = std::env::var("KUBERNETES_EXEC_INFO").ok().filter(|_| arguments.format == Format::ExecCredential);
    let version = ApiVersion::from_exec_info(exec_info.as_deref())?;
    let profile = context.profile()?;
    let valid = context.broker(&profile).token(&Request {
        min_validity: arguments.min_validity,
        renewal: match (arguments.force_login, arguments.force_refresh) {
            (true, _) => Renewal::Login,
            (false, true) => Renewal::Refresh,
            (false, false) => Renewal::WhenStale,
        },
        with_refresh_token: arguments.with_refresh_token,
    })?;
    let issued = Issued {
        token: &valid.token,
        username: &profile.username,
        refresh_token: valid.refresh_token.as_ref().filter(|_| arguments.with_refresh_token),
        now: context.clock.now(),
    };
    let text = zeroize::Zeroizing::new(match arguments.format {
        Format::Token => plain::token(&issued),
        Format::Header => plain::header(&issued),
        Format::Json => json::format(&issued),
        Format::ExecCredential => exec_credential::format(&issued, version),
        Format::CredentialProcess => credential_process::format(&issued),
        Format::Curl => plain::curl(&issued),
        Format::Env => plain::env(&issued),
    });
    match &arguments.output {
        Some(path) => write_output(path, &text),
        None => answer(&text),
    }
}

/// Writes the answer to a file that only its owner can read.
fn write_output(path: &Path, text: &str) -> Result<()> {
    let cannot = |reason: &str| Error::new(ErrorKind::Usage, format!("cannot write {}: {reason}", path.display()));
    // Renaming over a device or a directory is not what anybody means.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(cannot("it is not a file"));
    }
    files::replace(path, text.as_bytes()).map_err(|e| cannot(&e.to_string()))
}
