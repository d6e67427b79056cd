//! The table itself.

use super::{Action, Field, Relation, ResourceKind};
use crate::domain::Role;

/// A permission. There are no prohibitions: what no rule permits is denied.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Whose it is.
    pub role: Role,
    /// What kind of object it is about.
    pub resource: ResourceKind,
    /// What may be done.
    pub actions: &'static [Action],
    /// In which relations to the object; in others there is no such object for the caller.
    pub relations: &'static [Relation],
    /// Which fields of a patient's record an action shows or changes.
    pub fields: &'static [Field],
}

const fn rule(
    role: Role,
    resource: ResourceKind,
    actions: &'static [Action],
    relations: &'static [Relation],
    fields: &'static [Field],
) -> Rule {
    Rule {
        role,
        resource,
        actions,
        relations,
        fields,
    }
}

const ANY: &[Relation] = &Relation::ALL;
const RECORD: &[Field] = &Field::ALL;
const DEMOGRAPHICS: &[Field] = &[
    Field::RecordNumber,
    Field::FamilyName,
    Field::GivenName,
    Field::DateOfBirth,
];
const RECORD_BUT_BIRTH: &[Field] = &[
    Field::RecordNumber,
    Field::FamilyName,
    Field::GivenName,
    Field::Notes,
];

/// Emergency access is for looking, not for changing.
const CARE_OR_EMERGENCY: &[Relation] = &[Relation::Care, Relation::Emergency];

/// Every permission there is.
pub const TABLE: &[Rule] = {
    use Action::{BreakGlass, Create, Deactivate, Delete, List, Read, Review, Search, Update};
    use Relation::{Care, None, Own};
    use ResourceKind as Kind;
    const LOOK: &[Action] = &[Read, List, Search];
    &[
        rule(Role::Doctor, Kind::Patient, &[Create], ANY, RECORD),
        rule(Role::Doctor, Kind::Patient, LOOK, CARE_OR_EMERGENCY, RECORD),
        rule(Role::Doctor, Kind::Patient, &[Update], &[Care], RECORD),
        rule(
            Role::Doctor,
            Kind::CareTeam,
            &[List, Create, Delete],
            &[Care],
            &[],
        ),
        rule(Role::Doctor, Kind::EmergencyAccess, &[BreakGlass], ANY, &[]),
        rule(Role::Nurse, Kind::Patient, LOOK, CARE_OR_EMERGENCY, RECORD),
        rule(Role::Nurse, Kind::Patient, &[Update], &[Care], RECORD_BUT_BIRTH),
        rule(Role::Nurse, Kind::CareTeam, &[List], &[Care], &[]),
        rule(Role::Nurse, Kind::EmergencyAccess, &[BreakGlass], ANY, &[]),
        rule(Role::Radiologist, Kind::Patient, LOOK, CARE_OR_EMERGENCY, RECORD),
        rule(Role::Radiologist, Kind::CareTeam, &[List], &[Care], &[]),
        rule(Role::Radiologist, Kind::EmergencyAccess, &[BreakGlass], ANY, &[]),
        rule(Role::Receptionist, Kind::Patient, LOOK, ANY, DEMOGRAPHICS),
        rule(Role::Receptionist, Kind::Patient, &[Update], ANY, DEMOGRAPHICS),
        rule(Role::Patient, Kind::Patient, LOOK, &[Own], RECORD),
        rule(Role::Auditor, Kind::AuditEvent, &[Read, List], ANY, &[]),
        rule(Role::Auditor, Kind::EmergencyAccess, &[List], ANY, &[]),
        rule(Role::Auditor, Kind::EmergencyAccess, &[Review], &[None], &[]),
        rule(Role::Administrator, Kind::EmergencyAccess, &[List], ANY, &[]),
        rule(
            Role::Administrator,
            Kind::EmergencyAccess,
            &[Review],
            &[None],
            &[],
        ),
        rule(Role::Administrator, Kind::User, &[List], ANY, &[]),
        rule(
            Role::Administrator,
            Kind::User,
            &[Update, Deactivate],
            &[None],
            &[],
        ),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{fields, permits, permits_for};

    #[test]
    fn no_two_rules_speak_of_the_same_cell() {
        for (index, rule) in TABLE.iter().enumerate() {
            for other in &TABLE[index + 1..] {
                let same = rule.role == other.role
                    && rule.resource == other.resource
                    && rule.actions.iter().any(|action| other.actions.contains(action))
                    && rule
                        .relations
                        .iter()
                        .any(|relation| other.relations.contains(relation));
                assert!(!same, "{rule:?} and {other:?}");
            }
        }
    }

    #[test]
    fn who_audits_or_administers_reaches_no_patient() {
        for role in [Role::Auditor, Role::Administrator] {
            for action in Action::ALL {
                assert!(
                    !permits(role, ResourceKind::Patient, action),
                    "{role:?} {action:?}"
                );
            }
        }
    }

    #[test]
    fn patients_reach_their_own_record_only_and_change_nothing() {
        for action in Action::ALL {
            for relation in Relation::ALL {
                assert_eq!(
                    permits_for(Role::Patient, ResourceKind::Patient, action, relation),
                    relation == Relation::Own
                        && matches!(action, Action::Read | Action::List | Action::Search),
                    "{action:?} {relation:?}"
                );
            }
        }
    }

    #[test]
    fn reception_sees_no_notes_and_a_nurse_changes_no_date_of_birth() {
        for action in Action::ALL {
            for relation in Relation::ALL {
                let of = |role| fields(role, ResourceKind::Patient, action, relation);
                assert!(!of(Role::Receptionist).contains(&Field::Notes), "{action:?}");
                assert!(
                    action != Action::Update || !of(Role::Nurse).contains(&Field::DateOfBirth),
                    "{relation:?}"
                );
            }
        }
    }
}
