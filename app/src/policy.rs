//! Who may do what: one table, deny by default.
//!
//! This is the first of two walls. It decides by role and operation; which rows a permitted operation can touch is
//! decided by row-level security in PostgreSQL, from the relation between the user and the patient.

use std::marker::PhantomData;

use crate::domain::Role;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A new object.
    Create,
    /// One object by its id.
    Read,
    /// A change of one object.
    Update,
    /// A page of objects.
    List,
    /// Objects by a property.
    Search,
    /// Proof of identity for a token.
    Login,
    /// A refresh token for the next one.
    Refresh,
    /// A refresh token that was used before: it was copied, and its session ends.
    TokenReuse,
    /// The end of a session.
    End,
    /// A user's new password, given the old one.
    ChangePassword,
    /// A one-time token for a new password.
    IssueReset,
    /// A user's new password, given such a token.
    ResetPassword,
    /// A secret for an authenticator app.
    EnrolSecondFactor,
    /// The app's first code.
    ConfirmSecondFactor,
    /// The end of a second factor.
    RemoveSecondFactor,
}

impl Action {
    /// Every action that the table knows. What concerns one's own sessions and credentials only is not a question of the
    /// role and not in it.
    pub const ALL: [Self; 6] = [
        Self::Create,
        Self::Read,
        Self::Update,
        Self::List,
        Self::Search,
        Self::Login,
    ];

    /// As it is written to the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::List => "list",
            Self::Search => "search",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::TokenReuse => "token_reuse",
            Self::End => "end",
            Self::ChangePassword => "change_password",
            Self::IssueReset => "issue_reset",
            Self::ResetPassword => "reset_password",
            Self::EnrolSecondFactor => "enrol_second_factor",
            Self::ConfirmSecondFactor => "confirm_second_factor",
            Self::RemoveSecondFactor => "remove_second_factor",
        }
    }
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// Patients' records.
    Patient,
    /// Sessions of users.
    Session,
    /// Users.
    User,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Patient, Self::Session, Self::User];

    /// As it is written to the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Session => "session",
            Self::User => "user",
        }
    }
}

/// The table. What is not in it is denied.
const PERMITTED: &[(Role, ResourceKind, &[Action])] = &[(
    Role::Clinician,
    ResourceKind::Patient,
    &[
        Action::Create,
        Action::Read,
        Action::Update,
        Action::List,
        Action::Search,
    ],
)];

/// Whether a role may do something to a kind of object at all.
pub fn permits(role: Role, resource: ResourceKind, action: Action) -> bool {
    PERMITTED
        .iter()
        .any(|(who, what, actions)| *who == role && *what == resource && actions.contains(&action))
}

/// A kind of object, as a type.
pub trait Resource: Send + Sync + 'static {
    /// The kind.
    const KIND: ResourceKind;
}

/// Patients' records, as a type.
pub struct Patients;

impl Resource for Patients {
    const KIND: ResourceKind = ResourceKind::Patient;
}

/// An action on a kind of object, as a type: what a handler asks for and a database function requires, so that code
/// which skipped the check does not compile.
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

privileges!(Create, Read, Update, List, Search);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_permitted_but_what_this_matrix_lists() {
        for role in Role::ALL {
            for resource in ResourceKind::ALL {
                for action in Action::ALL {
                    let expected = role == Role::Clinician
                        && resource == ResourceKind::Patient
                        && action != Action::Login;
                    assert_eq!(
                        permits(role, resource, action),
                        expected,
                        "{role:?} {resource:?} {action:?}"
                    );
                }
            }
        }
    }
}
