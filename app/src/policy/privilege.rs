//! Privileges as types.

use std::marker::PhantomData;

use super::{Action, ResourceKind};

/// A kind of object, as a type.
pub trait Resource: Send + Sync + 'static {
    /// The kind.
    const KIND: ResourceKind;
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl Resource for $name {
                const KIND: ResourceKind = ResourceKind::$kind;
            }
        )*
    };
}

resources! {
    /// Patients' records, as a type.
    Patients = Patient;
    /// Users, as a type.
    Users = User;
    /// Who cares for a patient, as a type.
    CareTeams = CareTeam;
    /// Accesses to patients who are not in one's care, as a type.
    EmergencyAccesses = EmergencyAccess;
    /// Rows of the audit log, as a type.
    AuditEvents = AuditEvent;
}

/// An action on a kind of object, as a type.
pub trait Privilege: Send + Sync + 'static {
    /// The action.
    const ACTION: Action;
    /// The kind of object.
    const RESOURCE: ResourceKind;
}

macro_rules! privileges {
    ($($name:ident),*) => {
        $(
            #[doc = concat!("The privilege for [`Action::", stringify!($name), "`].")]
            pub struct $name<R>(PhantomData<R>);

            impl<R: Resource> Privilege for $name<R> {
                const ACTION: Action = Action::$name;
                const RESOURCE: ResourceKind = R::KIND;
            }
        )*
    };
}

privileges!(
    Create, Read, Update, List, Search, Delete, BreakGlass, Review, Deactivate
);
