//! `logout`: drop the tokens, and with `--forget` the secrets and the profile.

use super::arguments::LogoutArguments;
use super::{Context, terminal};
use crate::error::Result;
use crate::profile;

#[inline(never)]
pub(super) fn run(context: &Context, arguments: &LogoutArguments) -> Result<()> {
    let profile = context.profile()?;
    let broker = context.broker(&profile);
    broker.log_out()?;
    if arguments.forget {
        broker.store().forget(broker.deadline())?;
        profile::remove(&context.places.config, &profile.name)?;
        terminal::say(&format!("profile {} is forgotten", profile.name));
    }
    Ok(())
}
