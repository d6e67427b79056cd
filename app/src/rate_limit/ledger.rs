//! What this process knows and owes of the shared count.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::quota::Quota;

/// Names what is counted, alike in every process and without telling whom it is about.
pub type Key = [u8; 32];

/// Keys that are remembered; with all of them the ledger has about 2 MiB. Further ones are asked for in the database.
const REMEMBERED: usize = 20_000;
/// Shortest time between two sweeps of a full ledger, so that a flood of new keys does not make each of them expensive.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Entry {
    /// When the requests of all processes are paid for, as the database last said.
    paid_until: Instant,
    /// Requests that this process let through and did not report yet.
    unsettled: u32,
    cost: Duration,
}

impl Entry {
    fn debt(&self, now: Instant) -> Duration {
        self.paid_until.saturating_duration_since(now) + self.cost * self.unsettled
    }
}

/// What the ledger says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Far from the limit: let it through; this is the debt with it.
    Admit(Duration),
    /// Over the limit already by what is known here: refuse; this is the debt without it.
    Refuse(Duration),
    /// Near the limit, or nothing may be owed: ask the database, which does not know of a debt of this size.
    Ask(Duration),
}

/// Requests that the database has to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub key: Key,
    /// How many.
    pub requests: u32,
    /// What they cost together.
    pub cost: Duration,
}

struct Entries {
    known: HashMap<Key, Entry>,
    swept: Option<Instant>,
}

/// The ledger, bounded in size.
pub struct Ledger(Mutex<Entries>);

impl Default for Ledger {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            known: HashMap::new(),
            swept: None,
        }))
    }
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides as far as that is possible without the database. At most `slack` requests are let through on credit.
    pub fn advise(&self, key: Key, quota: Quota, slack: u32, now: Instant) -> Advice {
        let mut entries = self.entries();
        let Some(entry) = entries.entry(key, quota, now) else {
            return Advice::Ask(Duration::ZERO);
        };
        let with_this = entry.debt(now) + quota.cost();
        if with_this > quota.window {
            return Advice::Refuse(entry.debt(now));
        }
        if entry.unsettled < slack && with_this <= quota.window / 2 {
            entry.unsettled += 1;
            return Advice::Admit(with_this);
        }
        Advice::Ask(entry.cost * entry.unsettled)
    }

    /// Counts a request here although the database could not be asked.
    pub fn count_alone(&self, key: Key, quota: Quota, now: Instant) -> Duration {
        match self.entries().entry(key, quota, now) {
            Some(entry) => {
                entry.unsettled += 1;
                entry.debt(now)
            }
            None => quota.cost(),
        }
    }

    /// Notes the debt that the database told, after it was told of `settled` requests. Gives the debt with what is owed
    /// here.
    pub fn learn(
        &self,
        key: Key,
        quota: Quota,
        settled: u32,
        shared_debt: Duration,
        now: Instant,
    ) -> Duration {
        match self.entries().entry(key, quota, now) {
            Some(entry) => {
                entry.paid_until = now + shared_debt;
                entry.unsettled = entry.unsettled.saturating_sub(settled);
                entry.debt(now)
            }
            None => shared_debt,
        }
    }

    /// Notes the debt that the database told for requests of [`Self::due`].
    pub fn settled(&self, due: &Due, shared_debt: Duration, now: Instant) {
        if let Some(entry) = self.entries().known.get_mut(&due.key) {
            entry.paid_until = now + shared_debt;
            entry.unsettled = entry.unsettled.saturating_sub(due.requests);
        }
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.entries().known.len()
    }

    /// What the database has to be told of.
    pub fn due(&self) -> Vec<Due> {
        self.entries()
            .known
            .iter()
            .filter(|(_, entry)| entry.unsettled > 0)
            .map(|(key, entry)| Due {
                key: *key,
                requests: entry.unsettled,
                cost: entry.cost * entry.unsettled,
            })
            .collect()
    }
}

impl Entries {
    /// The entry of a key, or nothing when there is no more room.
    fn entry(&mut self, key: Key, quota: Quota, now: Instant) -> Option<&mut Entry> {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(&key) {
            if self
                .swept
                .is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP)
            {
                return None;
            }
            self.swept = Some(now);
            self.known
                .retain(|_, entry| entry.unsettled > 0 || entry.paid_until > now);
            if self.known.len() >= REMEMBERED {
                return None;
            }
        }
        Some(self.known.entry(key).or_insert(Entry {
            paid_until: now,
            unsettled: 0,
            cost: quota.cost(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota {
        requests: 60,
        window: Duration::from_mins(1),
    };

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn far_from_the_limit_it_lets_through_on_credit_up_to_the_slack_and_then_asks() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        for sent in 1..=6 {
            assert_eq!(
                ledger.advise(key(1), QUOTA, 6, now),
                Advice::Admit(Duration::from_secs(sent))
            );
        }
        assert_eq!(
            ledger.advise(key(1), QUOTA, 6, now),
            Advice::Ask(Duration::from_secs(6))
        );
        let due = ledger.due();
        assert_eq!((due.len(), due[0].requests), (1, 6));
        ledger.settled(&due[0], Duration::from_secs(10), now);
        assert_eq!(
            ledger.advise(key(1), QUOTA, 6, now),
            Advice::Admit(Duration::from_secs(11))
        );
    }

    #[test]
    fn near_the_limit_it_asks_and_over_it_refuses_until_time_has_paid() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        ledger.learn(key(1), QUOTA, 0, Duration::from_secs(40), now);
        assert_eq!(ledger.advise(key(1), QUOTA, 6, now), Advice::Ask(Duration::ZERO));
        ledger.learn(key(1), QUOTA, 0, Duration::from_mins(1), now);
        assert_eq!(
            ledger.advise(key(1), QUOTA, 6, now),
            Advice::Refuse(Duration::from_mins(1))
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(
            ledger.advise(key(1), QUOTA, 6, later),
            Advice::Ask(Duration::ZERO)
        );
        assert_eq!(
            ledger.advise(key(2), QUOTA, 6, now),
            Advice::Admit(Duration::from_secs(1))
        );
    }

    #[test]
    fn without_the_database_this_process_keeps_the_limit_by_itself() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        let mut admitted = 0;
        while !matches!(ledger.advise(key(1), QUOTA, 0, now), Advice::Refuse(_)) {
            ledger.count_alone(key(1), QUOTA, now);
            admitted += 1;
        }
        assert_eq!(admitted, QUOTA.requests);
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_makes_room_when_debts_are_paid() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        for number in 0..REMEMBERED + 100 {
            ledger.learn(key(number), QUOTA, 0, Duration::from_secs(1), now);
        }
        assert_eq!(ledger.entries().known.len(), REMEMBERED);
        assert_eq!(
            ledger.advise(key(REMEMBERED + 50), QUOTA, 6, now),
            Advice::Ask(Duration::ZERO)
        );
        let later = now + Duration::from_secs(2);
        assert!(matches!(
            ledger.advise(key(REMEMBERED + 50), QUOTA, 6, later),
            Advice::Admit(_)
        ));
        assert_eq!(ledger.entries().known.len(), 1);
    }
}
