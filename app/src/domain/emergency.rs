//! Emergency access: reaching a patient who is not in one's care (45 CFR 164.312(a)(2)(ii)).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Notes, Violation};

/// Identity of an emergency access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmergencyAccessId(pub Uuid);

/// Fewest characters of a reason.
pub const SHORTEST_REASON: usize = 20;
/// Most characters of a reason.
pub const LONGEST_REASON: usize = 1000;

/// Why somebody has to reach a patient who is not in their care. It is written for the reviewer, and may all the same say
/// something about the patient.
pub struct EmergencyReason(Notes);

impl EmergencyReason {
    /// Checks a text: 20 to 1000 characters, line breaks and tabs but no other control characters.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let reason = Notes::parse(text)?;
        match reason.expose().chars().count() {
            length if length < SHORTEST_REASON => {
                Err(Violation::new("too_short", "must have at least 20 characters"))
            }
            length if length > LONGEST_REASON => {
                Err(Violation::new("too_long", "must have at most 1000 characters"))
            }
            _ => Ok(Self(reason)),
        }
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// For how long: 1 to 60 minutes, 15 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmergencyMinutes(i32);

impl EmergencyMinutes {
    /// Checks a number of minutes; absent is 15.
    ///
    /// # Errors
    /// The broken rule.
    pub fn new(minutes: Option<i64>) -> Result<Self, Violation> {
        i32::try_from(minutes.unwrap_or(15))
            .ok()
            .filter(|minutes| (1..=60).contains(minutes))
            .map(Self)
            .ok_or_else(|| Violation::new("out_of_range", "must be a whole number from 1 to 60"))
    }

    /// The number.
    pub fn get(self) -> i32 {
        self.0
    }
}

/// What the reviewer says about an emergency access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There was an emergency, and the access was needed.
    Justified,
    /// There was not, or it was not.
    Unjustified,
}

impl Verdict {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Justified => "justified",
            Self::Unjustified => "unjustified",
        }
    }

    /// The verdict of that name.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        [Self::Justified, Self::Unjustified]
            .into_iter()
            .find(|verdict| verdict.as_str() == name)
            .ok_or_else(|| Violation::new("not_known", "must be justified or unjustified"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        for (text, code) in [
            ("", "required"),
            ("because", "too_short"),
            ("   because          . ", "too_short"),
            ("unconscious\u{0} in the emergency room", "invalid_characters"),
            (&"a".repeat(1001), "too_long"),
        ] {
            assert_eq!(EmergencyReason::parse(text).err().unwrap().code, code, "{text:?}");
        }
        assert!(EmergencyReason::parse("unconscious in the emergency room").is_ok());
    }

    #[test]
    fn an_access_lasts_a_quarter_of_an_hour_and_never_more_than_one() {
        assert_eq!(EmergencyMinutes::new(None).unwrap().get(), 15);
        assert_eq!(EmergencyMinutes::new(Some(60)).unwrap().get(), 60);
        for minutes in [0, -1, 61, i64::MAX] {
            assert_eq!(
                EmergencyMinutes::new(Some(minutes)).unwrap_err().code,
                "out_of_range"
            );
        }
    }
}
