//! People who work with the application.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Violation;

/// Identity of a user; never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// What a user may do; the table is in [`crate::policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Cares for patients and sees those only. Formerly called clinician.
    #[value(alias = "clinician")]
    Doctor,
    /// Cares for patients and sees those only.
    Nurse,
    /// Reads the records of patients in care.
    Radiologist,
    /// Keeps every patient's demographics; sees no notes.
    Receptionist,
    /// Sees their own record.
    Patient,
    /// Reads the audit log; sees no patient.
    Auditor,
    /// Manages users; sees no patient.
    Administrator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Doctor,
        Self::Nurse,
        Self::Radiologist,
        Self::Receptionist,
        Self::Patient,
        Self::Auditor,
        Self::Administrator,
    ];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Doctor => "doctor",
            Self::Nurse => "nurse",
            Self::Radiologist => "radiologist",
            Self::Receptionist => "receptionist",
            Self::Patient => "patient",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    /// The role of that stored name; the column that the previous version reads has doctors by their former name.
    pub fn parse(name: &str) -> Option<Self> {
        let name = if name == "clinician" { "doctor" } else { name };
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// An e-mail address in the one form under which it is stored and compared.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Trims, lower-cases and checks: at most 254 characters, one `@`, a dotted domain.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let email = text.trim().to_lowercase();
        if email.chars().count() > 254 {
            return Err(Violation::new("too_long", "must have at most 254 characters"));
        }
        let well_formed = email.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && domain.contains('.')
                && domain
                    .split('.')
                    .all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'))
        }) && !email.chars().any(|c| c.is_whitespace() || c.is_control());
        if well_formed {
            Ok(Self(email))
        } else {
            Err(Violation::new("malformed", "must be an e-mail address"))
        }
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Fewest characters of a password (NIST SP 800-63B-4 section 3.1.1.2 for a single factor).
const SHORTEST_PASSWORD: usize = 15;
/// Most characters; far beyond any passphrase, and a bound for the work of hashing.
const LONGEST_PASSWORD: usize = 256;

/// Whether a new password is acceptable: long enough, and not made of the e-mail address or one repeated part.
/// There are no rules about kinds of characters: ASVS 6.2.5 and NIST forbid them.
///
/// # Errors
/// The broken rule.
pub fn check_new_password(password: &str, email: &Email) -> Result<(), Violation> {
    let length = password.chars().count();
    if length < SHORTEST_PASSWORD {
        return Err(Violation::new("too_short", "must have at least 15 characters"));
    }
    if length > LONGEST_PASSWORD {
        return Err(Violation::new("too_long", "must have at most 256 characters"));
    }
    let lowered = password.to_lowercase();
    let local_part = email.as_str().split('@').next().unwrap_or_default();
    if local_part.chars().count() > 3 && lowered.contains(local_part) {
        return Err(Violation::new("guessable", "must not contain the e-mail address"));
    }
    let distinct = lowered.chars().collect::<std::collections::BTreeSet<_>>().len();
    if distinct < 5 {
        return Err(Violation::new("guessable", "must not repeat a few characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_known_by_its_name_and_a_doctor_by_the_former_one() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("clinician"), Some(Role::Doctor));
        assert_eq!(Role::parse("Doctor"), None);
    }

    #[test]
    fn an_email_has_one_form() {
        assert!(
            Email::parse(" Ada.Lovelace@Example.ORG ").unwrap()
                == Email::parse("ada.lovelace@example.org").unwrap()
        );
    }

    #[test]
    fn what_is_no_email_is_refused() {
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "ada@exa mple.org",
            "ada@.org",
            "a@b@c.d",
        ] {
            assert!(Email::parse(text).is_err(), "accepted {text:?}");
        }
        assert_eq!(
            Email::parse(&format!("{}@example.org", "a".repeat(250)))
                .err()
                .unwrap()
                .code,
            "too_long"
        );
    }

    #[test]
    fn a_password_counts_by_length_and_not_by_kinds_of_characters() {
        let email = Email::parse("ada@example.org").unwrap();
        assert!(check_new_password("correct horse battery", &email).is_ok());
        assert!(check_new_password("王王李李 passphrase ünï", &email).is_ok());
        assert_eq!(
            check_new_password("Sh0rt!&Complex", &email).unwrap_err().code,
            "too_short"
        );
        assert_eq!(
            check_new_password("aaaaaaaaaaaaaaaaaaaa", &email)
                .unwrap_err()
                .code,
            "guessable"
        );
        let lovelace = Email::parse("lovelace@example.org").unwrap();
        assert_eq!(
            check_new_password("Lovelace-Lovelace-1", &lovelace)
                .unwrap_err()
                .code,
            "guessable"
        );
    }
}
