//! What is remembered of each deployment until it is gone.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::Owner;

/// A value for each deployment that has one.
pub struct PerDeployment<T>(Mutex<HashMap<Owner, T>>);

impl<T> Default for PerDeployment<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> PerDeployment<T> {
    /// All values. What a panic left half done is made good by the next pass.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<Owner, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a deployment that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.lock().remove(owner);
    }
}
