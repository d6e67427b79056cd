//! A patient and the rules for each of their values.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Phi, Relation, Violation};

/// Identity of a patient's record: random and time-ordered (UUID version 7), meaningless outside this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
pub struct PatientId(pub Uuid);

/// Most characters of a name.
pub const LONGEST_NAME: usize = 100;
/// Most characters of a record number.
pub const LONGEST_RECORD_NUMBER: usize = 64;
/// Most characters of the notes.
pub const LONGEST_NOTES: usize = 10_000;
/// Most years since a birth.
const OLDEST_YEARS: i16 = 130;

/// Characters that change the direction of the text around them; in a name or a note they can only mislead.
fn is_bidirectional_control(character: char) -> bool {
    matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn too_long(most: usize) -> Violation {
    Violation::new("too_long", format!("must have at most {most} characters"))
}

/// Trims and composes (NFC), then checks for emptiness and length in characters.
fn bounded(text: &str, most: usize) -> Result<String, Violation> {
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err(Violation::new("required", "must not be empty"));
    }
    if text.chars().count() > most {
        return Err(too_long(most));
    }
    Ok(text)
}

/// A family or given name in any script.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonName(Phi<String>);

impl PersonName {
    /// Checks a name: letters and marks of any script, spaces, hyphens, apostrophes, full stops.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let name = bounded(text, LONGEST_NAME)?;
        let permitted = |c: char| {
            c.is_alphabetic()
                || unicode_normalization::char::is_combining_mark(c)
                || matches!(
                    c,
                    ' ' | '-' | '‐' | '\'' | '’' | '.' | '·' | '\u{200C}' | '\u{200D}'
                )
        };
        if name.chars().all(permitted) && name.chars().any(char::is_alphabetic) {
            Ok(Self(Phi::new(name)))
        } else {
            Err(Violation::new(
                "invalid_characters",
                "must be letters, spaces, hyphens, apostrophes and full stops",
            ))
        }
    }

    /// The name.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The number under which the institution keeps the patient's paper or electronic record; unique.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordNumber(Phi<String>);

impl RecordNumber {
    /// Checks a record number: ASCII letters, digits and `- / . _`, starting with a letter or digit.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let number = bounded(text, LONGEST_RECORD_NUMBER)?;
        let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '.' | '_');
        if number.chars().all(permitted) && number.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            Ok(Self(Phi::new(number)))
        } else {
            Err(Violation::new(
                "invalid_characters",
                "must be letters, digits and - / . _, starting with a letter or digit",
            ))
        }
    }

    /// The number as it was given.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The form in which two numbers are the same: people write `mrn-1` for `MRN-1`.
    pub fn normalised(&self) -> String {
        self.expose().to_ascii_uppercase()
    }
}

/// A date of birth.
#[derive(Clone, PartialEq, Eq)]
pub struct DateOfBirth(Phi<Date>);

impl DateOfBirth {
    /// Checks a date: `YYYY-MM-DD`, not after `today`, not more than 130 years ago.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(text: &str, today: Date) -> Result<Self, Violation> {
        let digits = |range: std::ops::Range<usize>| {
            text.as_bytes()
                .get(range)
                .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
        };
        let shape = text.len() == 10 && digits(0..4) && digits(5..7) && digits(8..10);
        let date = Some(text)
            .filter(|_| shape)
            .and_then(|text| text.parse::<Date>().ok())
            .ok_or_else(|| Violation::new("malformed", "must be a date of the form YYYY-MM-DD"))?;
        if date > today {
            return Err(Violation::new("in_future", "must not be in the future"));
        }
        if today.year() - date.year() > OLDEST_YEARS {
            return Err(Violation::new("too_early", "must not be more than 130 years ago"));
        }
        Ok(Self(Phi::new(date)))
    }

    /// Takes a date that was checked when it was stored.
    ///
    /// # Errors
    /// When it is not a date.
    pub fn stored(text: &str) -> Result<Self, Violation> {
        let date = text
            .parse()
            .map_err(|_| Violation::new("malformed", "must be a date"))?;
        Ok(Self(Phi::new(date)))
    }

    /// `YYYY-MM-DD`.
    pub fn expose(&self) -> String {
        self.0.expose().to_string()
    }
}

/// Free text about a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Notes(Phi<String>);

impl Notes {
    /// Checks a text: line breaks and tabs are fine, other control characters are not.
    ///
    /// # Errors
    /// The broken rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let notes = bounded(text, LONGEST_NOTES)?;
        let refused =
            |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || is_bidirectional_control(c);
        if notes.chars().any(refused) {
            return Err(Violation::new(
                "invalid_characters",
                "must not contain control characters",
            ));
        }
        Ok(Self(Phi::new(notes)))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A member of a patient's record, for rules about single ones (ASVS 8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The institution's number.
    RecordNumber,
    /// Family name.
    FamilyName,
    /// Given name or names.
    GivenName,
    /// Date of birth.
    DateOfBirth,
    /// Free text.
    Notes,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 5] = [
        Self::RecordNumber,
        Self::FamilyName,
        Self::GivenName,
        Self::DateOfBirth,
        Self::Notes,
    ];

    /// As it is called in JSON.
    pub fn member(self) -> &'static str {
        match self {
            Self::RecordNumber => "recordNumber",
            Self::FamilyName => "familyName",
            Self::GivenName => "givenName",
            Self::DateOfBirth => "dateOfBirth",
            Self::Notes => "notes",
        }
    }
}

/// What is recorded about a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientRecord {
    /// The institution's number.
    pub record_number: RecordNumber,
    /// Family name.
    pub family_name: PersonName,
    /// Given name or names.
    pub given_name: PersonName,
    /// Date of birth.
    pub date_of_birth: DateOfBirth,
    /// Free text.
    pub notes: Option<Notes>,
}

impl PatientRecord {
    /// One text for the whole record, the same for two records only when they are the same: no value can hold the
    /// separator. It is protected health information.
    pub fn canonical(&self) -> String {
        let notes = self.notes.as_ref().map_or("", Notes::expose);
        let date = self.date_of_birth.expose();
        [
            "patient",
            self.record_number.expose(),
            self.family_name.expose(),
            self.given_name.expose(),
            &date,
            notes,
        ]
        .join("\0")
    }

    /// The fields in which two records differ.
    pub fn differences(&self, other: &Self) -> Vec<Field> {
        Field::ALL
            .into_iter()
            .filter(|field| match field {
                Field::RecordNumber => self.record_number != other.record_number,
                Field::FamilyName => self.family_name != other.family_name,
                Field::GivenName => self.given_name != other.given_name,
                Field::DateOfBirth => self.date_of_birth != other.date_of_birth,
                Field::Notes => self.notes != other.notes,
            })
            .collect()
    }
}

/// A stored patient, as a caller may see them.
pub struct Patient {
    /// Identity.
    pub id: PatientId,
    /// How the caller stands to the patient.
    pub relation: Relation,
    /// Whether the caller may see the notes; if not, the record has none here.
    pub shows_notes: bool,
    /// Counts the changes, from 1; the entity tag of the record.
    pub version: i64,
    /// What is recorded.
    pub record: PatientRecord,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn names_of_many_languages_are_accepted_and_composed() {
        for name in [
            "José",
            "O’Neil",
            "O'Neil",
            "Nguyễn",
            "王",
            "Jean-Luc",
            "St. John",
            "Αθηνά",
            "عائشة",
        ] {
            assert!(PersonName::parse(name).is_ok(), "refused {name}");
        }
        assert!(PersonName::parse("  Jose\u{301} ").unwrap() == PersonName::parse("José").unwrap());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in [
            "Ada\u{202E}",
            "Ada\nB",
            "Ada\0b",
            "<b>Ada</b>",
            "Ada1",
            "--",
            "🙂",
        ] {
            assert!(PersonName::parse(name).is_err(), "accepted {name:?}");
        }
        assert_eq!(PersonName::parse("  ").err().unwrap().code, "required");
        assert_eq!(
            PersonName::parse(&"a".repeat(101)).err().unwrap().code,
            "too_long"
        );
        assert!(PersonName::parse(&"王".repeat(100)).is_ok());
    }

    #[test]
    fn record_numbers_are_the_same_whatever_their_case() {
        let lower = RecordNumber::parse("mrn-42/a").unwrap();
        assert_eq!(
            lower.normalised(),
            RecordNumber::parse(" MRN-42/A ").unwrap().normalised()
        );
        for number in ["", "-1", "MRN 1", "MRN;1", "ＭＲＮ", &"1".repeat(65)] {
            assert!(RecordNumber::parse(number).is_err(), "accepted {number:?}");
        }
    }

    #[test]
    fn a_date_of_birth_is_a_real_day_in_the_last_130_years() {
        let today = date(2026, 2, 28);
        for text in ["2026-02-28", "1999-12-31", "2024-02-29", "1896-01-01"] {
            assert!(DateOfBirth::parse(text, today).is_ok(), "refused {text}");
        }
        for text in [
            "2026-03-01",
            "1895-12-31",
            "2023-02-29",
            "2023-13-01",
            "23-01-01",
            "2023-1-1",
            "20230101",
            "2023-01-01T00:00",
            "+002023-01",
        ] {
            assert!(DateOfBirth::parse(text, today).is_err(), "accepted {text}");
        }
    }

    #[test]
    fn notes_keep_line_breaks_and_refuse_other_controls() {
        assert_eq!(
            Notes::parse(" first\nsecond\t'; DROP TABLE patient; -- ")
                .unwrap()
                .expose(),
            "first\nsecond\t'; DROP TABLE patient; --"
        );
        for text in ["a\u{0}b", "a\u{1b}[31m", "a\u{85}b", "a\u{2066}b"] {
            assert_eq!(
                Notes::parse(text).err().unwrap().code,
                "invalid_characters",
                "{text:?}"
            );
        }
        assert_eq!(Notes::parse(&"a".repeat(10_001)).err().unwrap().code, "too_long");
    }
}
