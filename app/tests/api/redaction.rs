//! Types that hold PHI or keys cannot be printed or serialised: a derive that is added by accident does not compile.

use std::fmt::{Debug, Display};

use medical_app::audit::AuditEvent;
use medical_app::crypto::{AuditKey, DataKey, PhiVault, SecretKey, WrappedKey};
use medical_app::domain::{DateOfBirth, Email, Notes, Patient, PatientRecord, PersonName, Phi, RecordNumber};
use serde::Serialize;

/// With the trait, two implementations fit the placeholder, and the compiler refuses to choose.
macro_rules! lacks {
    ($($type:ty: $($trait:path),+;)+) => {
        $($({
            trait Ambiguous<Case> {
                fn proof() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $trait> Ambiguous<Implemented> for T {}
            <$type as Ambiguous<_>>::proof();
        })+)+
    };
}

#[test]
fn no_phi_and_no_key_can_be_printed_or_serialised() {
    lacks! {
        Phi<String>: Debug, Display, Serialize;
        PersonName: Debug, Display, Serialize;
        RecordNumber: Debug, Display, Serialize;
        DateOfBirth: Debug, Display, Serialize;
        Notes: Debug, Display, Serialize;
        PatientRecord: Debug, Display, Serialize;
        Patient: Debug, Display, Serialize;
        Email: Debug, Display, Serialize;
        AuditEvent: Debug, Display, Serialize;
        SecretKey: Display, Serialize;
        DataKey: Debug, Display, Serialize;
        WrappedKey: Debug, Display, Serialize;
        AuditKey: Debug, Display, Serialize;
        PhiVault: Debug, Display, Serialize;
    }
}
