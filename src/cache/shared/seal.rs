//! Sealing: whoever reads or writes the fleet's Redis can neither use a token nor plant one.
//!
//! A sealed value is a version byte, a random nonce of 96 bits, and the ciphertext and tag of
//! ChaCha20-Poly1305 (RFC 8439). Its key comes from the account's own secrets and the profile's identity by
//! HKDF (RFC 5869); what it is bound to besides is its kind, so that none can stand for another. A key seals
//! some hundreds of values a day: far from the 2^32 at which random nonces begin to meet.

use std::num::NonZeroU32;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::cache::hex;
use crate::secrets::Secrets;
use crate::token::Identity;

/// The format of sealed values, and of everything that its key is derived from.
const VERSION: u8 = 1;

/// How often a password without a shared secret beside it is hashed: what OWASP's Password Storage Cheat Sheet
/// asks of PBKDF2 with HMAC-SHA-512.
const PASSWORD_ROUNDS: NonZeroU32 = NonZeroU32::new(210_000).unwrap();

/// What a sealed value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    RefreshToken,
    Account,
}

impl Kind {
    /// Its name, in Redis and in the seal.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::RefreshToken => "refresh",
            Kind::Account => "account",
        }
    }
}

/// Seals and opens for those who have the same secrets of the same account.
pub(crate) struct Sealer {
    key: LessSafeKey,
    group: String,
}

impl Sealer {
    /// The sealer of all who sign in with these secrets; `None` without a password, for then there is nothing
    /// that others have not.
    pub(crate) fn new(secrets: &Secrets, identity: &Identity) -> Option<Self> {
        let password = secrets.password.as_ref()?.expose().as_bytes();
        let salt = joined(&[
            b"apigee-credential shared cache",
            &[VERSION],
            identity.login_url.as_bytes(),
            identity.username.as_bytes(),
            identity.client_id.as_bytes(),
        ]);
        let mut material = Zeroizing::new(Vec::with_capacity(256));
        match &secrets.shared_secret {
            Some(shared_secret) => {
                let parts = Zeroizing::new(joined(&[password, shared_secret.base32().expose().as_bytes()]));
                material.extend_from_slice(&parts);
            }
            None => {
                // A password alone might be guessed from what it sealed.
                material.resize(ring::digest::SHA512_OUTPUT_LEN, 0);
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, PASSWORD_ROUNDS, &salt, password, &mut material);
            }
        }
        let derived = Salt::new(HKDF_SHA256, &salt).extract(&material);
        let key = Zeroizing::new(expand::<32>(&derived, b"key"));
        let group = hex(&expand::<8>(&derived, b"group"));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("the key has the cipher's length");
        Some(Sealer { key: LessSafeKey::new(key), group })
    }

    /// A name for all who have the same key; tells nothing of it.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Seals a value.
    pub(crate) fn seal(&self, kind: Kind, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + CHACHA20_POLY1305.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to(kind)),
                &mut sealed[1 + NONCE_LEN..],
            )
            .expect("a value is far shorter than the cipher allows");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens a value that was sealed by one with the same key, as one of its kind; `None` for all others.
    pub(crate) fn open(&self, kind: Kind, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let rest = sealed.strip_prefix(&[VERSION])?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut plain = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, Aad::from(bound_to(kind)), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// Random bytes of the operating system's.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

fn bound_to(kind: Kind) -> Vec<u8> {
    joined(&[&[VERSION], kind.name().as_bytes()])
}

/// The parts, each with its length before it, so that no other parts give the same.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let lengths = parts.iter().map(|part| (part.len() as u64).to_be_bytes());
    lengths.zip(parts).flat_map(|(length, part)| [&length[..], part].concat()).collect()
}

fn expand<const N: usize>(derived: &Prk, purpose: &[u8]) -> [u8; N] {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut bytes = [0; N];
    derived.expand(&[purpose], Length(N)).and_then(|okm| okm.fill(&mut bytes)).expect("HKDF gives as many bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::local::tests::identity;
    use crate::secret::Secret;

    fn secrets(password: &str, shared_secret: &str) -> Secrets {
        Secrets::from_parts(Some(Secret::new(password)), Some(Secret::new(shared_secret))).unwrap()
    }

    fn sealer() -> Sealer {
        Sealer::new(&secrets("password", "JBSWY3DPEHPK3PXP"), &identity("me")).unwrap()
    }

    #[test]
    fn who_has_the_same_secrets_opens_what_was_sealed_and_no_nonce_comes_twice() {
        let (one, same) = (sealer(), sealer());
        let (first, second) = (one.seal(Kind::Token, b"value"), one.seal(Kind::Token, b"value"));
        assert_ne!(first, second);
        for sealed in [first, second] {
            assert_eq!(&**same.open(Kind::Token, &sealed).unwrap(), b"value");
            assert!(!sealed.windows(5).any(|window| window == b"value"));
        }
        assert_eq!(one.group(), same.group());
    }

    #[test]
    fn nobody_else_opens_it_and_it_stands_for_nothing_else() {
        let one = sealer();
        let sealed = one.seal(Kind::Token, b"value");
        assert!(one.open(Kind::RefreshToken, &sealed).is_none() && one.open(Kind::Account, &sealed).is_none());
        let mut elsewhere = identity("me");
        elsewhere.login_url.push('x');
        let mut other_client = identity("me");
        other_client.client_id.push('x');
        let right = secrets("password", "JBSWY3DPEHPK3PXP");
        for other in [
            Sealer::new(&secrets("Password", "JBSWY3DPEHPK3PXP"), &identity("me")),
            Sealer::new(&secrets("password", "JBSWY3DPEHPK3PXQ"), &identity("me")),
            Sealer::new(&secrets("password", ""), &identity("me")),
            Sealer::new(&right, &identity("you")),
            Sealer::new(&right, &elsewhere),
            Sealer::new(&right, &other_client),
        ] {
            let other = other.unwrap();
            assert!(other.open(Kind::Token, &sealed).is_none());
            assert_ne!(other.group(), one.group());
        }
        assert!(Sealer::new(&Secrets::default(), &identity("me")).is_none());
    }

    #[test]
    fn parts_that_run_into_each_other_are_told_apart() {
        assert_ne!(joined(&[b"ab", b"c"]), joined(&[b"a", b"bc"]));
        assert_ne!(joined(&[b"ab"]), joined(&[b"ab", b""]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_value_that_was_changed_anywhere_is_not_opened(
            plain in proptest::collection::vec(any::<u8>(), 0..64), place in any::<prop::sample::Index>(), flip in 1..=255_u8,
        ) {
            let sealer = sealer();
            let sealed = sealer.seal(Kind::Account, &plain);
            let opened = sealer.open(Kind::Account, &sealed).unwrap();
            prop_assert_eq!(&**opened, &plain[..]);
            let mut changed = sealed.clone();
            changed[place.index(sealed.len())] ^= flip;
            prop_assert!(sealer.open(Kind::Account, &changed).is_none());
            prop_assert!(sealer.open(Kind::Account, &sealed[..place.index(sealed.len())]).is_none());
        }
    }
}
