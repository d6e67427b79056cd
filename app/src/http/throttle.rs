//! A brake on guessing passwords: so many attempts a minute for one account and for one address.
//!
//! It delays and never locks: an attacker must not be able to lock a clinician out for good. It counts in this process
//! only.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::Email;

/// Attempts a minute, and at once, for one account.
const PER_ACCOUNT: u32 = 5;
/// Attempts a minute, and at once, for one address; a clinic may be behind a single one.
const PER_ADDRESS: u32 = 60;
/// Accounts and addresses that are remembered. When they are too many, further ones are not counted: an attacker with
/// that many addresses is slowed down by the bounded hashing only, but nobody is locked out.
const REMEMBERED: usize = 20_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Account(u64),
    Address(IpAddr),
}

/// Counts attempts by the generic cell rate algorithm: one point in time for each key.
pub struct LoginThrottle {
    /// When the attempts so far are paid for.
    paid: Mutex<HashMap<Key, Instant>>,
    hasher: RandomState,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self {
            paid: Mutex::new(HashMap::new()),
            hasher: RandomState::new(),
        }
    }
}

impl LoginThrottle {
    /// Counts an attempt.
    ///
    /// # Errors
    /// The time after which the next one is welcome.
    pub fn attempt(&self, email: &Email, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        if paid.len() >= REMEMBERED {
            paid.retain(|_, until| *until > now);
        }
        if let Some(address) = address {
            spend(&mut paid, Key::Address(network(address)), PER_ADDRESS, now)?;
        }
        spend(&mut paid, self.account(email), PER_ACCOUNT, now)
    }

    /// Forgets the attempts on an account after its owner got in.
    pub fn succeeded(&self, email: &Email) {
        self.paid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.account(email));
    }

    fn account(&self, email: &Email) -> Key {
        Key::Account(self.hasher.hash_one(email.as_str()))
    }
}

fn spend(paid: &mut HashMap<Key, Instant>, key: Key, per_minute: u32, now: Instant) -> Result<(), Duration> {
    let until = paid
        .get(&key)
        .copied()
        .filter(|until| *until > now)
        .unwrap_or(now);
    let after = until + Duration::from_mins(1) / per_minute;
    let allowed = now + Duration::from_mins(1);
    if after > allowed {
        return Err(after - allowed);
    }
    if paid.len() < REMEMBERED || paid.contains_key(&key) {
        paid.insert(key, after);
    }
    Ok(())
}

/// A whole IPv6 /64 belongs to one subscriber.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(name: &str) -> Email {
        Email::parse(&format!("{name}@example.org")).unwrap()
    }

    #[test]
    fn the_sixth_attempt_on_an_account_waits_and_time_pays_for_it() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..5 {
            assert!(throttle.attempt(&email("ada"), None, now).is_ok());
        }
        assert_eq!(
            throttle.attempt(&email("ada"), None, now),
            Err(Duration::from_secs(12))
        );
        assert!(throttle.attempt(&email("grace"), None, now).is_ok());
        assert!(
            throttle
                .attempt(&email("ada"), None, now + Duration::from_secs(12))
                .is_ok()
        );
    }

    #[test]
    fn getting_in_forgives_the_attempts_before() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..20 {
            assert!(throttle.attempt(&email("ada"), None, now).is_ok());
            throttle.succeeded(&email("ada"));
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        let mut refused = 0;
        for host in 0..100_u16 {
            let address: IpAddr = format!("2001:db8::{host:x}").parse().unwrap();
            refused += u32::from(
                throttle
                    .attempt(&email(&format!("a{host}")), Some(address), now)
                    .is_err(),
            );
        }
        assert_eq!(refused, 40);
    }
}
