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
//! | [`watches`], [`store`], [`view`] | observe: watches feed the store with views of the children |
//! | [`reconcile`] | the pass over one deployment and its steps |
//! | [`per_deployment`] | what is remembered of each deployment until it is gone |
//! | [`build`] | one file per built kind, pure |
//! | [`secrets`], [`tls`] | how the values of Secrets are made |
//! | [`cnpg`] | the part of CloudNativePG's types that is written here |
//! | [`controller`] | the driver: queue, deadline, panics, backoff |
//! | [`lease`] | leader election |
//! | [`rbac`] | what the operator may do |
//! | [`admin`], [`metrics`], [`events`] | what the operator tells |

pub mod admin;
pub mod backoff;
pub mod build;
pub mod cnpg;
pub mod controller;
pub mod events;
pub mod kinds;
pub mod lease;
pub mod metrics;
pub mod per_deployment;
pub mod rbac;
pub mod reconcile;
pub mod secrets;
pub mod settings;
pub mod store;
pub mod tls;
pub mod view;
pub mod watches;
