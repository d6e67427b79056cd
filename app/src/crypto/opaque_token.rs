//! Tokens that mean nothing by themselves: whoever holds one can be looked up by its hash.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// Random bytes of a token: 256 bits, twice what ASVS 11.5.1 asks for.
const BYTES: usize = 32;

/// Characters of a token as text.
pub const OPAQUE_TOKEN_LENGTH: usize = 43;

/// SHA-256 of a token, the only form that is stored. A token has too many values to be found by trying, so that no slow
/// hash is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash(redacted)")
    }
}

impl TokenHash {
    /// Hash of a token as it was sent.
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes a token, as base64url, and its hash.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn new_opaque_token() -> Result<(SecretString, TokenHash), aws_lc_rs::error::Unspecified> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice())?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
    Ok((SecretString::from(text.as_str()), TokenHash::of(&text)))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn each_token_is_new_and_found_again_by_its_hash() {
        let (first, hash) = new_opaque_token().unwrap();
        let (second, other) = new_opaque_token().unwrap();
        assert_eq!(first.expose_secret().len(), OPAQUE_TOKEN_LENGTH);
        assert_ne!(first.expose_secret(), second.expose_secret());
        assert!(TokenHash::of(first.expose_secret()) == hash && hash != other);
    }
}
