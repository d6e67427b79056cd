//! What a new password has to be: long, and not one that attackers try first (NIST SP 800-63B-4 section 3.1.1.2).
//!
//! There are no rules about kinds of characters and no expiry: NIST and ASVS 6.2.5 forbid both, whatever guides say
//! (R-123; see docs/authentication.md).

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Email, Violation};

/// Fewest characters of a password (NIST SP 800-63B-4 section 3.1.1.2 for a single factor).
pub const SHORTEST_PASSWORD: usize = 15;
/// Most characters; far beyond any passphrase, and a bound for the work of hashing.
pub const LONGEST_PASSWORD: usize = 256;
/// Fewest characters besides words that anybody would guess for this user and this product.
const FEWEST_OF_ONES_OWN: usize = 8;
/// Fewest different ones among these.
const FEWEST_DISTINCT: usize = 5;
/// Words of the product.
const PRODUCT: [&str; 3] = ["medical", "medops", "patient"];
/// Shorter parts of an address are in too many good passwords.
const SHORTEST_WORD: usize = 4;

/// Bytes of an entry of the blocklist.
const ENTRY: usize = 5;
/// Sorted entries; see password/README.md.
const BLOCKLIST: &[u8] = include_bytes!("password/blocklist.bin");

/// The entry of a password in the blocklist: the beginning of the SHA-256 of its lower-case form.
pub fn blocklist_entry(password: &str) -> [u8; ENTRY] {
    let hash = digest(&SHA256, password.to_lowercase().as_bytes());
    let mut entry = [0; ENTRY];
    entry.copy_from_slice(&hash.as_ref()[..ENTRY]);
    entry
}

fn is_common(password: &str) -> bool {
    let (entries, _) = BLOCKLIST.as_chunks::<ENTRY>();
    entries.binary_search(&blocklist_entry(password)).is_ok()
}

/// Whether a new password is acceptable.
///
/// # Errors
/// The broken rule: `too_short`, `too_long`, `common` or `guessable`.
pub fn check_new_password(password: &str, email: &Email) -> Result<(), Violation> {
    let length = password.chars().count();
    if length < SHORTEST_PASSWORD {
        return Err(Violation::new("too_short", "must have at least 15 characters"));
    }
    if length > LONGEST_PASSWORD {
        return Err(Violation::new("too_long", "must have at most 256 characters"));
    }
    if is_common(password) {
        return Err(Violation::new(
            "common",
            "must not be on the list of passwords that are known from break-ins",
        ));
    }
    let mut own = password.to_lowercase();
    for word in email
        .as_str()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= SHORTEST_WORD)
        .chain(PRODUCT)
    {
        own = own.replace(word, "");
    }
    if own.chars().count() < FEWEST_OF_ONES_OWN {
        return Err(Violation::new(
            "guessable",
            "must have at least 8 characters besides the product's name and the parts of the e-mail address",
        ));
    }
    if own.chars().collect::<BTreeSet<_>>().len() < FEWEST_DISTINCT {
        return Err(Violation::new("guessable", "must not repeat a few characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(password: &str) -> Option<&'static str> {
        let email = Email::parse("ada.lovelace@hospital.example.org").unwrap();
        check_new_password(password, &email)
            .err()
            .map(|violation| violation.code)
    }

    #[test]
    fn a_password_counts_by_length_and_not_by_kinds_of_characters() {
        assert_eq!(refused("correct horse battery"), None);
        assert_eq!(refused("王王李李 passphrase ünï"), None);
        assert_eq!(refused("Sh0rt!&Complex"), Some("too_short"));
        assert_eq!(refused(&"long enough, ".repeat(19)), None);
        assert_eq!(refused(&"too long ".repeat(30)), Some("too_long"));
    }

    #[test]
    fn passwords_known_from_break_ins_are_refused_in_upper_and_lower_case() {
        for password in [
            "passwordpassword",
            "1q2w3e4r5t6y7u8i9o",
            "CorrectHorseBatteryStaple",
            "123456789012345",
        ] {
            assert_eq!(refused(password), Some("common"), "{password}");
        }
    }

    #[test]
    fn a_password_made_of_the_product_the_address_or_a_few_characters_is_refused() {
        for password in [
            "Lovelace-Lovelace-1",
            "lovelace@hospital",
            "hospital.example-2026",
            "medical-patient-medical",
            "abcabcabcabcabcabc",
        ] {
            assert_eq!(refused(password), Some("guessable"), "{password}");
        }
        assert_eq!(refused("my hospital bed is far too short"), None);
    }

    #[test]
    fn the_blocklist_is_sorted_and_holds_more_than_a_hundred_thousand() {
        let (entries, rest) = BLOCKLIST.as_chunks::<ENTRY>();
        assert!(rest.is_empty() && entries.len() > 100_000);
        assert!(entries.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
