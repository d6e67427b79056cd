//! `spec.secrets`: Secrets to generate for the application.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Secrets to generate for the application.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    /// Values that are generated once, kept for ever in the Secret `NAME-generated`, and named in `app.env` by
    /// `generatedSecret`. Removing an entry here does not remove the value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub generate: Vec<GeneratedSecret>,
}

/// A value that is generated once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.format != 'fernet' || self.bytes == 32")
        .message("spec.secrets.generate: a fernet key is always made of 32 bytes: remove bytes or set it to 32"),
    validation = Rule::new("self.format == oldSelf.format && self.bytes == oldSelf.bytes")
        .message("spec.secrets.generate: format and bytes of a generated value cannot change, because the value is never replaced: add an entry of another name"),
)]
pub struct GeneratedSecret {
    /// Name of the value, the key in the Secret.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z_][A-Za-z0-9_.-]*$"))]
    pub name: String,
    /// How the random bytes are written. Default: base64url.
    #[serde(default)]
    pub format: SecretFormat,
    /// Number of random bytes, 16 to 128. Default: 32. (C-18)
    #[serde(default = "thirty_two")]
    #[schemars(range(min = 16, max = 128))]
    pub bytes: i32,
}

fn thirty_two() -> i32 {
    32
}

/// How random bytes are written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum SecretFormat {
    /// Two hexadecimal digits a byte.
    Hex,
    /// Base64 with the URL-safe alphabet, without padding (RFC 4648, section 5).
    #[default]
    Base64url,
    /// A Fernet key: 32 bytes in URL-safe base64 with padding.
    Fernet,
}
