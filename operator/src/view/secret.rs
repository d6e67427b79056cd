//! Secrets: which keys they hold and whether they changed, never a value.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::core::DynamicObject;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::tls::CertificateFacts;

/// A Secret, without its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretView {
    /// Keys that hold a value.
    pub keys: BTreeSet<String>,
    /// Keyed by nothing, of all values: changes when a value does. Values have at least 128 random bits, so that it tells
    /// nothing about them.
    pub checksum: String,
    /// Facts of the certificate in `tls.crt` or `ca.crt`.
    pub certificate: Option<Box<CertificateFacts>>,
    /// Whether the password inside `uri` is the one in `password`; true when there is no `uri`.
    pub uri_matches: bool,
}

/// SHA-256 of a Secret's data, as hexadecimal digits. `salt` keeps values that could be guessed from being tried out.
pub fn checksum<'a>(salt: &[u8], data: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    hash.update(salt);
    for (key, value) in data {
        hash.update(key.as_bytes());
        hash.update([0]);
        hash.update(value);
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

impl SecretView {
    /// The view of a Secret.
    pub fn of(object: &DynamicObject) -> Self {
        let encoded: BTreeMap<&str, &str> = object
            .data
            .get("data")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .collect();
        let decode = |key: &str| encoded.get(key).and_then(|value| STANDARD.decode(value).ok());
        let certificate = decode("tls.crt")
            .or_else(|| decode("ca.crt"))
            .and_then(|pem| CertificateFacts::of(&pem))
            .map(Box::new);
        let uri_matches = match (decode("uri"), decode("password")) {
            (Some(uri), Some(password)) => {
                let needle = [b":".as_slice(), &password, b"@"].concat();
                uri.windows(needle.len()).any(|window| window == needle)
            }
            _ => true,
        };
        Self {
            keys: encoded
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, _)| (*key).to_owned())
                .collect(),
            checksum: checksum(b"", encoded.iter().map(|(key, value)| (*key, value.as_bytes()))),
            certificate,
            uri_matches,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        kinds::Kind,
        view::{Detail, View},
    };

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_secret_is_seen_by_its_keys_and_a_checksum_but_no_value() {
        let secret = |password: &str, uri: &str| {
            object(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                "data": {"password": password, "uri": uri}}),
            )
        };
        // hunter22 and postgresql://u:hunter22@h/d in base64
        let view = View::of(
            Kind::Secret,
            &secret("aHVudGVyMjI=", "cG9zdGdyZXNxbDovL3U6aHVudGVyMjJAaC9k"),
        );
        assert!(!format!("{view:?}").contains("hunter22") && !format!("{view:?}").contains("aHVudGVyMjI"));
        let Detail::Secret(seen) = &view.detail else {
            panic!("a Secret")
        };
        assert!(seen.uri_matches);
        // another password, the uri as before
        let Detail::Secret(changed) = View::of(
            Kind::Secret,
            &secret("b3RoZXI=", "cG9zdGdyZXNxbDovL3U6aHVudGVyMjJAaC9k"),
        )
        .detail
        else {
            panic!("a Secret")
        };
        assert!(!changed.uri_matches);
        assert_ne!(changed.checksum, seen.checksum);
    }
}
