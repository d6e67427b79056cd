//! The `MedicalDeployment` resource: what a user writes, what the operator reports, what its children are called.
//!
//! | module | subject |
//! |---|---|
//! | [`spec`] | what the user declares, one file per group |
//! | [`status`] | what the operator observed |
//! | [`conditions`] | the condition types and their reasons |
//! | [`preset`] | what an application needs by name, when the spec is silent |
//! | [`names`] | the names and labels of every child object |
//! | [`quantity`] | Kubernetes quantities |
//! | [`schedule`] | cron schedules |
//! | [`check`] | rules that CEL cannot say, run by the operator |
//! | [`generate`] | the CustomResourceDefinition as YAML |

pub mod check;
pub mod conditions;
pub mod generate;
pub mod names;
pub mod preset;
pub mod quantity;
pub mod schedule;
pub mod spec;
pub mod status;

pub use spec::{MedicalDeployment, MedicalDeploymentSpec};
pub use status::MedicalDeploymentStatus;
