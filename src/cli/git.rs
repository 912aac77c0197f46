//! The git credential protocol's verbs; `get` answers a Bazel-style JSON request, too.

use std::io::{self, Read};

use zeroize::Zeroizing;

use super::{Context, answer};
use crate::broker::{Request, Valid};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::Profile;
use crate::protocol::{Issued, bazel, git};

/// A description of a credential is a few lines; this is room for the longest of each.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;

pub(super) fn get(context: &Context) -> Result<()> {
    let input = input()?;
    if input.trim_ascii_start().starts_with(b"{") {
        return get_bazel(context, &input);
    }
    let request = git::parse(&input)?;
    let Some(profile) = profile_for(context, &request)? else {
        return Ok(());
    };
    let valid = context.broker(&profile).token(&Request::default())?;
    answer(&Zeroizing::new(git::format(&issued(context, &profile, &valid), request.authtype)))
}

fn get_bazel(context: &Context, input: &[u8]) -> Result<()> {
    let profile = match bazel::parse(input)? {
        Some(target) => {
            context.config()?.profile_for(context.profile.as_deref(), &target.scheme, &target.host, None)?
        }
        None => None,
    };
    let Some(profile) = profile else {
        return answer(bazel::NOTHING);
    };
    let valid = context.broker(&profile).token(&Request::default())?;
    answer(&Zeroizing::new(bazel::format(&issued(context, &profile, &valid))))
}

/// There is nothing to store: what git got from here is cached already, and what it did not is none of
/// this program's business.
pub(super) fn store() -> Result<()> {
    git::parse(&input()?).map(|_| ())
}

#[inline(never)]
pub(super) fn erase(context: &Context) -> Result<()> {
    let request = git::parse(&input()?)?;
    match profile_for(context, &request)? {
        Some(profile) => context.broker(&profile).erase(request.secret.as_ref().map(|secret| secret.expose())),
        None => Ok(()),
    }
}

pub(super) fn capability() -> Result<()> {
    answer(git::CAPABILITIES)
}

fn profile_for(context: &Context, request: &git::Request) -> Result<Option<Profile>> {
    let (Some(scheme), Some(host)) = (&request.protocol, &request.host) else {
        return Ok(None);
    };
    context.config()?.profile_for(context.profile.as_deref(), scheme, host, request.username.as_deref())
}

fn issued<'a>(context: &Context, profile: &'a Profile, valid: &'a Valid) -> Issued<'a> {
    Issued { token: &valid.token, username: &profile.username, refresh_token: None, now: context.clock.now() }
}

fn input() -> Result<Zeroizing<Vec<u8>>> {
    let mut input = Zeroizing::new(Vec::new());
    io::stdin()
        .lock()
        .take(MAX_INPUT_BYTES + 1)
        .read_to_end(&mut input)
        .map_err(|e| Error::new(ErrorKind::Usage, format!("cannot read standard input: {e}")))?;
    if input.len() as u64 > MAX_INPUT_BYTES {
        return Err(Error::new(ErrorKind::Usage, "the credential description is longer than 1 MiB"));
    }
    Ok(input)
}
