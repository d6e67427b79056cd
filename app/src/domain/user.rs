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

    /// Whether the role may do anything only in a session with a second factor (R-124, C-21).
    pub fn needs_second_factor(self) -> bool {
        self == Self::Administrator
    }

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
}
