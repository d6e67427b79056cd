//! Load shedding: so many requests of a class at a time, and a quick refusal for the rest, so that those who are let in
//! are answered in time and one class cannot starve another (ASVS 15.2.2). Probes are outside of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rate_limit::Class;

/// The places of every class.
pub struct Places {
    login: Arc<Semaphore>,
    read: Arc<Semaphore>,
    write: Arc<Semaphore>,
}

impl Places {
    /// So many for each class.
    pub fn new(places: usize) -> Self {
        let new = || Arc::new(Semaphore::new(places));
        Self {
            login: new(),
            read: new(),
            write: new(),
        }
    }

    /// A place until it is dropped, or nothing when all are taken: waiting would only make a queue that nobody needs
    /// any more when it is served.
    pub fn take(&self, class: Class) -> Option<OwnedSemaphorePermit> {
        let places = match class {
            Class::Login => &self.login,
            Class::Read => &self.read,
            Class::Write => &self.write,
        };
        places.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_without_places_does_not_take_those_of_another_and_a_place_is_given_back() {
        let places = Places::new(1);
        let taken = places.take(Class::Write);
        assert!(taken.is_some() && places.take(Class::Write).is_none());
        assert!(places.take(Class::Read).is_some());
        drop(taken);
        assert!(places.take(Class::Write).is_some());
    }
}
