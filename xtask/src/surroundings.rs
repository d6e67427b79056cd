//! What this machine must have before a cluster can start, and what to do when it has not.

use anyhow::Result;

use crate::places::Places;

/// Checks for the cluster tier.
pub(crate) fn check_cluster(_places: &Places) -> Result<()> {
    Ok(())
}
