//! Access tokens: JWTs by the profile of RFC 9068, signed with Ed25519.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::SecretKey;
use crate::domain::{Bearer, SessionId, UserId};

/// `typ` of an access token (RFC 9068 section 2.1); keeps other kinds of token from being used as one.
const TYPE: &str = "at+jwt";

/// Audience of every token: this API.
const AUDIENCE: &str = "medical-app";

/// Seconds by which the clocks of two replicas may differ.
const LEEWAY_SECONDS: u64 = 5;

/// Longest token that is looked at; ours have about 500 characters.
const LONGEST: usize = 2048;

/// DER around an Ed25519 seed (RFC 8410 section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the deployment's public origin.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user's id, which is never given to another user.
    pub sub: Uuid,
    /// The session that it was issued in; with the session the token ends.
    pub sid: Uuid,
    /// The token's own id.
    pub jti: Uuid,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Not before, seconds since 1970.
    pub nbf: i64,
    /// Expires at, seconds since 1970.
    pub exp: i64,
}

impl Claims {
    /// For whom the token speaks.
    pub fn bearer(&self) -> Bearer {
        Bearer {
            user: UserId(self.sub),
            session: SessionId(self.sid),
        }
    }
}

/// Why a token was refused or not made. Callers are told none of it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The signing key is not usable.
    #[error("the token-signing key is not an Ed25519 seed")]
    Key,
    /// The header names another algorithm, type or key, or carries a key of its own.
    #[error("the token's header is not ours")]
    Header,
    /// The signature or a claim does not hold.
    #[error("the token does not hold")]
    Refused,
}

/// Signs and verifies access tokens.
pub struct TokenAuthority {
    issuer: String,
    lifetime: Duration,
    key_id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl TokenAuthority {
    /// Uses `seed` to sign for `issuer`.
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn new(seed: &SecretKey, issuer: &str, lifetime: Duration) -> Result<Self, TokenError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| TokenError::Key)?;
        let public = pair.public_key().as_ref();
        let mut document = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + seed.bytes().len()));
        document.extend_from_slice(&PKCS8_PREFIX);
        document.extend_from_slice(seed.bytes());

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        Ok(Self {
            issuer: issuer.to_owned(),
            lifetime,
            key_id: thumbprint(public),
            signing: EncodingKey::from_ed_der(&document),
            verifying: DecodingKey::from_ed_der(public),
            validation,
        })
    }

    /// How long a token is good.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Makes a token for a user in a session, good from `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn issue(&self, bearer: Bearer, now: i64) -> Result<String, TokenError> {
        let header = Header {
            typ: Some(TYPE.to_owned()),
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: bearer.user.0,
            sid: bearer.session.0,
            jti: Uuid::new_v4(),
            iat: now,
            nbf: now,
            exp: now.saturating_add_unsigned(self.lifetime.as_secs()),
        };
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(|_| TokenError::Key)
    }

    /// Checks a token at the current time.
    ///
    /// # Errors
    /// [`TokenError::Header`] or [`TokenError::Refused`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Header);
        }
        self.check_header(token)?;
        jsonwebtoken::decode(token, &self.verifying, &self.validation)
            .map(|data| data.claims)
            .map_err(|_| TokenError::Refused)
    }

    /// The header is taken literally: exactly our four members. Whatever else a header may carry (`jku`, `x5u`,
    /// `jwk`, `crit`, …) only ever helped attackers (ASVS 9.1.3).
    fn check_header(&self, token: &str) -> Result<(), TokenError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ours {
            alg: String,
            typ: String,
            kid: String,
        }
        let encoded = token.split('.').next().unwrap_or_default();
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Header)?;
        let header: Ours = serde_json::from_slice(&bytes).map_err(|_| TokenError::Header)?;
        if header.alg == "EdDSA" && header.typ == TYPE && header.kid == self.key_id {
            Ok(())
        } else {
            Err(TokenError::Header)
        }
    }
}

/// Key id: the JWK thumbprint (RFC 7638, RFC 8037 section 2) of the public key.
fn thumbprint(public: &[u8]) -> String {
    let jwk = format!(
        r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(public)
    );
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jwk.as_bytes()))
}

#[cfg(test)]
mod tests;
