//! Lookup of an encrypted column by an exact value.

use super::SecretKey;

/// HMAC-SHA-256 of a normalised value: equal values have equal indexes, and without the key nothing else can be told.
/// It does reveal equality, so it suits values that are unique anyway, such as record numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlindIndex([u8; 32]);

impl BlindIndex {
    /// Index of `normalised` in one column; the same value in another column has another index.
    pub(super) fn compute(key: &SecretKey, table: &str, column: &str, normalised: &str) -> Self {
        Self(
            key.derive_key(&format!("blind-index\0{table}\0{column}"))
                .hmac(normalised.as_bytes()),
        )
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_meet_and_different_keys_columns_or_values_do_not() {
        let key = SecretKey::from_bytes([1; 32]);
        let index = BlindIndex::compute(&key, "patient", "record_number", "MRN-1");
        assert_eq!(
            index,
            BlindIndex::compute(&key, "patient", "record_number", "MRN-1")
        );
        assert_ne!(
            index,
            BlindIndex::compute(&key, "patient", "record_number", "MRN-2")
        );
        assert_ne!(index, BlindIndex::compute(&key, "patient", "email", "MRN-1"));
        let other = SecretKey::from_bytes([2; 32]);
        assert_ne!(
            index,
            BlindIndex::compute(&other, "patient", "record_number", "MRN-1")
        );
    }
}
