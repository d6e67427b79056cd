//! Reconciles `MedicalDeployment` resources.
//!
//! Data flows one way, and only the steps marked IO talk to the API server:
//!
//! ```text
//! watch → queue → observe → validate → plan (build/*) → apply (IO) → prune (IO) → status (IO, one writer) → requeue
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`settings`] | what the operator is told by its command line |
//! | [`kinds`] | THE registry of child kinds: watches, apply order, prune, the ClusterRole |
//! | [`cnpg`] | the part of CloudNativePG's types that is written here |
//! | [`build`] | one file per built kind, pure |

pub mod build;
pub mod cnpg;
pub mod kinds;
pub mod settings;
