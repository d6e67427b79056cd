//! Access tokens: JWTs by the profile of RFC 9068, signed with Ed25519.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{SecretKey, SigningKeys};
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

/// A public key of access tokens (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PublicJwk {
    /// Always `OKP`.
    #[schema(example = "OKP", max_length = 16)]
    kty: &'static str,
    /// Always `Ed25519`.
    #[schema(example = "Ed25519", max_length = 16)]
    crv: &'static str,
    /// Always `EdDSA`.
    #[schema(example = "EdDSA", max_length = 16)]
    alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    #[schema(example = "sig", max_length = 16)]
    usage: &'static str,
    /// Names the key in the header of a token: its thumbprint (RFC 7638).
    #[schema(min_length = 43, max_length = 43)]
    kid: String,
    /// The public key, base64url.
    #[schema(min_length = 43, max_length = 43)]
    x: String,
}

/// A key whose tokens are accepted.
struct AcceptedKey {
    jwk: PublicJwk,
    verifying: DecodingKey,
}

impl AcceptedKey {
    fn new(seed: &SecretKey) -> Result<Self, TokenError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| TokenError::Key)?;
        let public = pair.public_key().as_ref();
        Ok(Self {
            jwk: PublicJwk {
                kty: "OKP",
                crv: "Ed25519",
                alg: "EdDSA",
                usage: "sig",
                kid: thumbprint(public),
                x: URL_SAFE_NO_PAD.encode(public),
            },
            verifying: DecodingKey::from_ed_der(public),
        })
    }
}

/// The keys at one moment.
struct KeySet {
    signing: EncodingKey,
    /// The signing one first.
    accepted: Vec<AcceptedKey>,
}

impl KeySet {
    fn new(keys: &SigningKeys) -> Result<Self, TokenError> {
        let seed = keys.current.bytes();
        let mut document = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + seed.len()));
        document.extend_from_slice(&PKCS8_PREFIX);
        document.extend_from_slice(seed);
        let mut accepted = vec![AcceptedKey::new(&keys.current)?];
        if let Some(other) = &keys.other {
            accepted.push(AcceptedKey::new(other)?);
            accepted.dedup_by(|one, two| one.jwk == two.jwk);
        }
        Ok(Self {
            signing: EncodingKey::from_ed_der(&document),
            accepted,
        })
    }

    fn key_ids(&self) -> Vec<&str> {
        self.accepted.iter().map(|key| key.jwk.kid.as_str()).collect()
    }
}

/// Signs and verifies access tokens.
pub struct TokenAuthority {
    issuer: String,
    lifetime: Duration,
    keys: RwLock<Arc<KeySet>>,
    validation: Validation,
}

impl TokenAuthority {
    /// Uses `keys` to sign for `issuer`.
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn new(keys: &SigningKeys, issuer: &str, lifetime: Duration) -> Result<Self, TokenError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        Ok(Self {
            issuer: issuer.to_owned(),
            lifetime,
            keys: RwLock::new(Arc::new(KeySet::new(keys)?)),
            validation,
        })
    }

    /// Uses other keys from now on, and tells whether they differ from the ones before.
    ///
    /// # Errors
    /// [`TokenError::Key`]; the keys stay as they were.
    pub fn replace_keys(&self, keys: &SigningKeys) -> Result<bool, TokenError> {
        let next = KeySet::new(keys)?;
        if next.key_ids() == self.keys().key_ids() {
            return Ok(false);
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(true)
    }

    fn keys(&self) -> Arc<KeySet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The public keys whose tokens are accepted, the signing one first.
    pub fn public_keys(&self) -> Vec<PublicJwk> {
        self.keys().accepted.iter().map(|key| key.jwk.clone()).collect()
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
        let keys = self.keys();
        let header = Header {
            typ: Some(TYPE.to_owned()),
            kid: keys.accepted.first().map(|key| key.jwk.kid.clone()),
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
        jsonwebtoken::encode(&header, &claims, &keys.signing).map_err(|_| TokenError::Key)
    }

    /// Checks a token at the current time.
    ///
    /// # Errors
    /// [`TokenError::Header`] or [`TokenError::Refused`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Header);
        }
        let kid = key_id(token)?;
        let keys = self.keys();
        let key = keys
            .accepted
            .iter()
            .find(|key| key.jwk.kid == kid)
            .ok_or(TokenError::Header)?;
        jsonwebtoken::decode(token, &key.verifying, &self.validation)
            .map(|data| data.claims)
            .map_err(|_| TokenError::Refused)
    }
}

/// Name of the key that a token claims to be signed with. The header is taken literally: exactly our three members.
/// Whatever else a header may carry (`jku`, `x5u`, `jwk`, `crit`, …) only ever helped attackers (ASVS 9.1.3).
fn key_id(token: &str) -> Result<String, TokenError> {
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
    if header.alg == "EdDSA" && header.typ == TYPE {
        Ok(header.kid)
    } else {
        Err(TokenError::Header)
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
