//! Kubernetes quantities (`500m`, `1.5`, `2Gi`) that are checked before they reach any child object.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A Kubernetes quantity, kept as it was written.
///
/// Accepts what `resource.Quantity` accepts: a decimal number with an optional SI or binary suffix; a plain
/// integer in YAML works too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

/// The pattern of a quantity that a child object may carry: never negative.
pub const PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$";

impl Quantity {
    /// The quantity as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value in thousandths of the base unit (millicores, milli-bytes), rounded up; `None` when it is not a quantity.
    pub fn milli(&self) -> Option<i128> {
        let digits_end = self
            .0
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(self.0.len());
        let (number, suffix) = self.0.split_at(digits_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || whole.len() > 18 || fraction.len() > 9 {
            return None;
        }
        let scale: i128 = match suffix {
            "m" => 1,
            "" => 1_000,
            "k" => 1_000 * 1_000,
            "M" => 1_000 * 1_000_000,
            "G" => 1_000 * 1_000_000_000,
            "T" => 1_000 * 1_000_000_000_000,
            "P" => 1_000 * 1_000_000_000_000_000,
            "E" => 1_000 * 1_000_000_000_000_000_000,
            "Ki" => 1_000 << 10,
            "Mi" => 1_000 << 20,
            "Gi" => 1_000 << 30,
            "Ti" => 1_000 << 40,
            "Pi" => 1_000 << 50,
            "Ei" => 1_000 << 60,
            _ => return None,
        };
        let denominator = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let whole: i128 = whole.parse().ok()?;
        let fraction: i128 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().ok()?
        };
        let value = (whole * denominator + fraction).checked_mul(scale)?;
        Some(value.div_euclid(denominator) + i128::from(value.rem_euclid(denominator) != 0))
    }
}

impl From<&str> for Quantity {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(value: &Quantity) -> Self {
        Self(value.0.clone())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Integer(i64),
            Text(String),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Integer(number) => Self(number.to_string()),
            Written::Text(text) => Self(text),
        })
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "pattern": PATTERN,
            "maxLength": 24,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_across_suffixes() {
        let milli = |text: &str| Quantity::from(text).milli();
        assert_eq!(milli("500m"), Some(500));
        assert_eq!(milli("1.5"), Some(1_500));
        assert_eq!(milli("1Ki"), Some(1_024_000));
        assert_eq!(milli("1Gi"), Some(1_073_741_824_000));
        assert!(milli("1G") < milli("1Gi"));
    }

    #[test]
    fn what_is_no_quantity_has_no_value() {
        for text in ["", "Gi", "1GiB", "-1", "1e3x", "ten", "1 Gi"] {
            assert_eq!(Quantity::from(text).milli(), None, "{text:?}");
        }
    }

    #[test]
    fn a_plain_integer_is_a_quantity() {
        let quantity: Quantity = serde_json::from_str("2").unwrap();
        assert_eq!(quantity.as_str(), "2");
    }
}
