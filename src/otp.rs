//! The MFA token: a time-based one-time password (RFC 6238: SHA-1, steps of 30 s, 6 digits).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use totp_rs::{Builder, Totp};
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The length of a time step, in seconds.
pub const STEP_SECONDS: u64 = 30;

/// Apigee's shared secrets are 80 bits, half of what RFC 4226 recommends; nothing shorter is one.
const MIN_BASE32_CHARS: usize = 16;

/// The key behind an account's MFA tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(Secret);

/// A code for one time step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MfaToken {
    /// The 6 digits.
    pub code: Secret,
    /// The time step that the code is for: Unix time divided by 30 s.
    pub step: u64,
}

impl SharedSecret {
    /// Reads a shared secret in any shape in which people keep one: base32 in either case, with spaces,
    /// dashes or padding, of 16 characters (80 bits) or more; or a whole `otpauth://totp/…` URI.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if it is neither, or if the URI asks for another kind of code.
    ///
    /// ```
    /// # use apigee_credential::SharedSecret;
    /// let typed = SharedSecret::parse("jbsw y3dp-ehpk 3pxp")?;
    /// let scanned = SharedSecret::parse("otpauth://totp/Apigee:me?secret=JBSWY3DPEHPK3PXP")?;
    /// assert!(typed == scanned);
    /// # Ok::<(), apigee_credential::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.get(..10).is_some_and(|s| s.eq_ignore_ascii_case("otpauth://")) {
            return parse_otpauth(text);
        }
        let base32 = Zeroizing::new(
            text.chars()
                .filter(|c| !c.is_whitespace() && *c != '-')
                .map(|c| c.to_ascii_uppercase())
                .collect::<String>(),
        );
        let base32 = base32.trim_end_matches('=');
        if base32.len() < MIN_BASE32_CHARS {
            return Err(invalid("the shared secret is too short: it has 16 base32 characters or more"));
        }
        if totp_rs::Secret::try_from_base32(base32).is_err() {
            return Err(invalid("the shared secret is not base32 (letters A-Z, digits 2-7)"));
        }
        Ok(SharedSecret(Secret::new(base32)))
    }

    /// The secret as plain upper-case base32, to be stored.
    pub fn base32(&self) -> &Secret {
        &self.0
    }

    /// The code for a time step.
    pub fn at_step(&self, step: u64) -> MfaToken {
        MfaToken { code: Secret::new(self.totp().generate(step * STEP_SECONDS).to_string()), step }
    }

    fn totp(&self) -> Totp {
        let key = totp_rs::Secret::try_from_base32(self.0.expose()).expect("checked by parse");
        Builder::new().with_secret(key).build_noncompliant()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn parse_otpauth(uri: &str) -> Result<SharedSecret> {
    let uri = Url::parse(uri).map_err(|_| invalid("the otpauth:// URI cannot be read"))?;
    if uri.host_str() != Some("totp") {
        return Err(invalid("the otpauth:// URI is not for time-based codes (totp)"));
    }
    let mut secret = None;
    for (key, value) in uri.query_pairs() {
        let expected = match &*key {
            "secret" => {
                secret = Some(Secret::new(value));
                continue;
            }
            "algorithm" => "SHA1",
            "digits" => "6",
            "period" => "30",
            _ => continue,
        };
        if !value.eq_ignore_ascii_case(expected) {
            return Err(invalid(format!("the otpauth:// URI asks for another {key} than {expected}")));
        }
    }
    let secret = secret.ok_or_else(|| invalid("the otpauth:// URI has no secret"))?;
    SharedSecret::parse(secret.expose())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message).hint("copy the text that Apigee shows beside the QR code when MFA is set up")
}

/// The time step at `now`.
pub fn step_at(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0) / STEP_SECONDS
}

/// How long the step that holds `now` still lasts; never zero.
pub fn time_left(now: Timestamp) -> Duration {
    let next = (step_at(now) + 1) * STEP_SECONDS;
    let next = Timestamp::from_second(i64::try_from(next).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    Duration::try_from(next.duration_since(now)).unwrap_or_default()
}

/// The MFA token at `now`, and how long to wait for it: if less than `min_validity` of the current step is
/// left, it is the next step's.
///
/// ```
/// # use std::time::Duration;
/// # use apigee_credential::{SharedSecret, mfa_token};
/// let secret = SharedSecret::parse("JBSWY3DPEHPK3PXP")?;
/// let now = "2026-01-01T00:00:25Z".parse().unwrap();
/// let (token, wait) = mfa_token(&secret, now, Duration::from_secs(10));
/// assert_eq!(wait, Duration::from_secs(5));
/// assert_eq!(token.code.expose().len(), 6);
/// # Ok::<(), apigee_credential::Error>(())
/// ```
pub fn mfa_token(secret: &SharedSecret, now: Timestamp, min_validity: Duration) -> (MfaToken, Duration) {
    let left = time_left(now);
    if left < min_validity {
        (secret.at_step(step_at(now) + 1), left)
    } else {
        (secret.at_step(step_at(now)), Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238 appendix B, "12345678901234567890", in base32.
    const RFC_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        let secret = SharedSecret::parse(RFC_SECRET).unwrap();
        // Appendix B gives 8 digits; 6 digits are their last six.
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000_i64, "353130"),
        ] {
            let now = Timestamp::from_second(time).unwrap();
            assert_eq!(secret.at_step(step_at(now)).code.expose(), code, "at {time}");
        }
    }

    #[test]
    fn a_shared_secret_is_read_in_every_shape_people_paste() {
        let plain = SharedSecret::parse("JBSWY3DPEHPK3PXP").unwrap();
        for text in [
            "jbswy3dpehpk3pxp",
            " JBSW Y3DP EHPK 3PXP\n",
            "jbsw-y3dp-ehpk-3pxp",
            "JBSWY3DPEHPK3PXP======",
            "otpauth://totp/Apigee:me%40example.com?secret=jbswy3dpehpk3pxp&issuer=Apigee",
            "OTPAUTH://totp/x?secret=JBSWY3DPEHPK3PXP&digits=6&period=30&algorithm=sha1",
        ] {
            assert!(SharedSecret::parse(text).unwrap() == plain, "{text}");
        }
    }

    #[test]
    fn what_is_no_shared_secret_is_refused_and_not_repeated() {
        for text in [
            "",
            "JBSWY3DPEHPK3PX",
            "JBSWY3DPEHPK3PX1",
            "JBSWY3DPEHPK3PXé",
            "otpauth://hotp/x?secret=JBSWY3DPEHPK3PXP",
            "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&digits=8",
            "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&algorithm=SHA256",
            "otpauth://totp/x",
            "otpauth://",
        ] {
            let error = SharedSecret::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(!error.to_string().contains("JBSW"), "{text}");
        }
    }

    #[test]
    fn the_next_step_is_taken_when_too_little_of_this_one_is_left() {
        let secret = SharedSecret::parse(RFC_SECRET).unwrap();
        let now = Timestamp::from_millisecond(1_111_111_100_000 + 10_500).unwrap();
        assert_eq!(time_left(now), Duration::from_millis(29_500));
        let later = Timestamp::from_second(1_111_111_131).unwrap();
        let (token, wait) = mfa_token(&secret, later, Duration::from_secs(10));
        assert_eq!((token.step, wait), (step_at(later) + 1, Duration::from_secs(9)));
        let (token, wait) = mfa_token(&secret, later, Duration::from_secs(9));
        assert_eq!((token.step, wait), (step_at(later), Duration::ZERO));
    }
}
