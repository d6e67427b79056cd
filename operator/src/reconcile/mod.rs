//! One pass over one `MedicalDeployment`: observe → validate → secrets → plan → apply → prune → status.
//!
//! | step | module | talks to the API server |
//! |---|---|---|
//! | observe | [`crate::store`] | no: watches feed it |
//! | validate | [`medical_crds::check`] | no |
//! | secrets | [`ensure_secrets`] | only when one is missing or due |
//! | plan | [`plan`] | no |
//! | apply | [`apply`] | only what differs |
//! | prune | [`prune`] | only what is left over |
//! | status | [`status`], [`write_status`] | only when it differs |

pub mod apply;
pub mod ensure_secrets;
pub mod outcome;
pub mod pass;
pub mod plan;
pub mod prune;
pub mod referenced_secrets;
pub mod status;
pub mod validate;
pub mod write_status;
