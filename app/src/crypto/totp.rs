//! Time-based one-time passwords (RFC 6238) as every authenticator app makes them: SHA-1, six digits, 30 seconds. And the
//! recovery codes for the day on which that app is lost.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret, Totp};

use super::TokenHash;

/// Random bytes of a secret: 160 bits, as RFC 4226 section 4 recommends.
const SECRET_BYTES: usize = 20;
/// Random bytes of a recovery code: 120 bits, beyond the 112 below which SP 800-63B-4 asks for a slow hash. They make
/// 24 characters without padding.
const RECOVERY_BYTES: usize = 15;
/// Characters between two hyphens of a recovery code.
const RECOVERY_GROUP: usize = 4;
/// Recovery codes of one user.
const RECOVERY_CODES: usize = 10;
/// Time steps by which the clock of a phone may differ, each way (RFC 6238 section 5.2).
const SKEW_STEPS: u16 = 1;
/// Name of the product in authenticator apps.
const ISSUER: &str = "Medical%20API";

/// What a user's authenticator app shares with us.
pub struct TotpSecret(SecretString);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TotpSecret(redacted)")
    }
}

/// Why there is no secret or no code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TotpError {
    /// The operating system gave no randomness.
    #[error("there is no randomness")]
    NoRandomness,
    /// The stored secret is none.
    #[error("the stored secret of a one-time password is malformed")]
    Malformed,
}

fn random_base32(bytes: usize) -> Result<SecretString, TotpError> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| TotpError::NoRandomness)?;
    Ok(SecretString::from(
        Secret::new(random.into_boxed_slice()).to_base32(),
    ))
}

impl TotpSecret {
    /// Makes a random one.
    ///
    /// # Errors
    /// [`TotpError::NoRandomness`].
    pub fn generate() -> Result<Self, TotpError> {
        random_base32(SECRET_BYTES).map(Self)
    }

    /// Takes the base32 form.
    pub fn from_base32(text: impl Into<SecretString>) -> Self {
        Self(text.into())
    }

    /// In base32 (RFC 4648), for typing.
    pub fn base32(&self) -> &str {
        self.0.expose_secret()
    }

    /// For a QR code.
    pub fn uri(&self, account: &str) -> String {
        let account: String = account
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' => {
                    char::from(byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect();
        format!(
            "otpauth://totp/{ISSUER}:{account}?secret={}&issuer={ISSUER}",
            self.base32()
        )
    }

    fn totp(&self) -> Result<Totp, TotpError> {
        let secret = Secret::try_from_base32(self.base32()).map_err(|_| TotpError::Malformed)?;
        Builder::new()
            .with_secret(secret)
            .with_skew(SKEW_STEPS)
            .build()
            .map_err(|_| TotpError::Malformed)
    }

    /// The time step that `code` belongs to, at `now` (seconds since 1970), one step before or after; nothing when it is
    /// none of their codes. Whoever takes the code has to remember the step.
    ///
    /// # Errors
    /// [`TotpError::Malformed`].
    pub fn matching_step(&self, code: &str, now: u64) -> Result<Option<i64>, TotpError> {
        let step = self.totp()?.check(code, now);
        Ok(step.and_then(|step| i64::try_from(step).ok()))
    }
}

/// A set of recovery codes and what is stored of them.
///
/// # Errors
/// [`TotpError::NoRandomness`].
pub fn new_recovery_codes() -> Result<Vec<(SecretString, TokenHash)>, TotpError> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let code = random_base32(RECOVERY_BYTES)?;
            let hash = TokenHash::of(code.expose_secret());
            let grouped: Vec<&str> = code
                .expose_secret()
                .as_bytes()
                .chunks(RECOVERY_GROUP)
                .filter_map(|group| std::str::from_utf8(group).ok())
                .collect();
            Ok((SecretString::from(grouped.join("-")), hash))
        })
        .collect()
}

/// The stored form of a recovery code as it was typed: hyphens, blanks and case do not matter.
pub fn recovery_code_hash(typed: &str) -> TokenHash {
    let code: String = typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    TokenHash::of(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238 appendix B, "12345678901234567890".
    fn example() -> TotpSecret {
        TotpSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned())
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            let step = i64::try_from(time / 30).unwrap();
            assert_eq!(example().matching_step(code, time), Ok(Some(step)));
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_late_and_no_longer() {
        for (now, expected) in [
            (1_111_111_109 - 60, None),
            (1_111_111_109 - 30, Some(37_037_036)),
            (1_111_111_109 + 30, Some(37_037_036)),
            (1_111_111_109 + 60, None),
        ] {
            assert_eq!(example().matching_step("081804", now), Ok(expected), "{now}");
        }
        for wrong in ["", "08180", "0818044", "abcdef", "081805"] {
            assert_eq!(example().matching_step(wrong, 1_111_111_109), Ok(None), "{wrong}");
        }
    }

    #[test]
    fn a_new_secret_has_160_bits_and_its_address_is_escaped() {
        let secret = TotpSecret::generate().unwrap();
        assert_eq!(secret.base32().len(), 32);
        let uri = secret.uri("ada+x@example.org");
        assert!(
            uri.starts_with("otpauth://totp/Medical%20API:ada%2Bx@example.org?secret="),
            "{uri}"
        );
    }

    #[test]
    fn recovery_codes_differ_and_are_found_again_however_they_are_typed() {
        let codes = new_recovery_codes().unwrap();
        assert_eq!(codes.len(), RECOVERY_CODES);
        for (code, hash) in &codes {
            let code = code.expose_secret();
            assert_eq!(code.len(), 29);
            assert!(recovery_code_hash(&code.to_lowercase().replace('-', " ")) == *hash);
        }
        assert!(codes[0].1 != codes[1].1);
    }
}
