//! What a change of a record changed: old and new values of the members that differ, for the audit log.

use serde_json::{Map, Value, json};

use crate::domain::PatientRecord;

/// The members by the names that the API gives them.
fn members(record: &PatientRecord) -> [(&'static str, Option<String>); 5] {
    [
        ("recordNumber", Some(record.record_number.expose().to_owned())),
        ("familyName", Some(record.family_name.expose().to_owned())),
        ("givenName", Some(record.given_name.expose().to_owned())),
        ("dateOfBirth", Some(record.date_of_birth.expose())),
        (
            "notes",
            record.notes.as_ref().map(|notes| notes.expose().to_owned()),
        ),
    ]
}

/// JSON, `{"member": {"old": …, "new": …}}`; without `old` where the old record did not open. It is readable: the caller
/// seals it and keeps nothing.
pub(super) fn between(old: Option<&PatientRecord>, new: &PatientRecord) -> String {
    let Some(old) = old else {
        let changes = members(new).map(|(name, new)| (name.to_owned(), json!({"new": new})));
        return Value::Object(changes.into_iter().collect()).to_string();
    };
    let changes: Map<String, Value> = members(old)
        .into_iter()
        .zip(members(new))
        .filter(|((_, old), (_, new))| old != new)
        .map(|((name, old), (_, new))| (name.to_owned(), json!({"old": old, "new": new})))
        .collect();
    Value::Object(changes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DateOfBirth, Notes, PersonName, RecordNumber};

    #[test]
    fn only_what_differs_is_named_with_both_values() {
        let record = |family_name, notes: Option<&str>| PatientRecord {
            record_number: RecordNumber::parse("MRN-1").unwrap(),
            family_name: PersonName::parse(family_name).unwrap(),
            given_name: PersonName::parse("Ada").unwrap(),
            date_of_birth: DateOfBirth::stored("1980-02-29").unwrap(),
            notes: notes.map(|notes| Notes::parse(notes).unwrap()),
        };
        let text = between(Some(&record("Byron", None)), &record("Lovelace", Some("text")));
        let expected = json!({
            "familyName": {"old": "Byron", "new": "Lovelace"},
            "notes": {"old": null, "new": "text"},
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        let same = record("Byron", None);
        assert_eq!(between(Some(&same), &same), "{}");
        let replaced: Value = serde_json::from_str(&between(None, &same)).unwrap();
        assert_eq!(replaced["familyName"], json!({"new": "Byron"}));
    }
}
