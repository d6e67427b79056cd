//! Cryptography: keys, envelope encryption of PHI, blind indexes, passwords and access tokens.
//!
//! Everything is built on aws-lc-rs, the provider that TLS uses too, so that one library has to be trusted and kept
//! current (ASVS 11.1). Random bytes come from its generator.

mod audit_key;
mod blind_index;
mod envelope;
mod kek;
mod key;
mod opaque_token;
mod password;
mod signing_keys;
mod token;
mod totp;
mod vault;

pub use audit_key::{AuditKey, DIGEST_BYTES, Digest};
pub use blind_index::BlindIndex;
pub use envelope::{Location, OpenError, SealError};
pub use kek::{KeyEncryptionKey, MountedKek, Pending};
pub use key::{KeyError, KeyRing, SecretKey};
pub use opaque_token::{OPAQUE_TOKEN_LENGTH, TokenHash, new_opaque_token};
pub use password::{PasswordError, PasswordVerifier, Verdict, hash_password};
pub use signing_keys::{SigningKeys, follow_signing_keys};
pub use token::{Claims, PublicJwk, TokenAuthority, TokenError};
pub use totp::{TotpError, TotpSecret, new_recovery_codes, recovery_code_hash};
pub use vault::{DataKey, KekId, PhiVault, RewrapError, WrappedKey};
