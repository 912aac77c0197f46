//! `otp`: print the current MFA token.

use super::arguments::OtpArguments;
use super::{Context, answer};
use crate::error::Result;

#[inline(never)]
pub(super) fn run(context: &Context, arguments: &OtpArguments) -> Result<()> {
    let profile = context.profile()?;
    let code = context.broker(&profile).otp(arguments.min_validity)?;
    answer(&format!("{}\n", code.expose()))
}
