//! One local Kubernetes: its files, its processes, its network, its add-ons.
//!
//! The `cluster` tier is a real single-node cluster in a network namespace and a mount namespace of its own, with no
//! way out and no way in but `cargo xtask in` and `forward`. The `control-plane` tier is an API server with its
//! controllers and played nodes on loopback ports; it needs no privileges and several run side by side.

pub(crate) mod addons;
pub(crate) mod addresses;
pub(crate) mod certificates;
pub(crate) mod configuration;
pub(crate) mod down;
pub(crate) mod forward;
pub(crate) mod health;
pub(crate) mod inside;
pub(crate) mod instance;
pub(crate) mod kernel;
pub(crate) mod load;
pub(crate) mod network;
pub(crate) mod policy_proof;
pub(crate) mod process_id;
pub(crate) mod processes;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod sample_user;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod supervisor;
