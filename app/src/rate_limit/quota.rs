//! How many requests, of which kind, in which time.

use std::time::Duration;

/// Kinds of requests that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Attempts to prove an identity.
    Login,
    /// What changes nothing.
    Read,
    /// What may change something.
    Write,
}

impl Class {
    const ALL: [Self; 3] = [Self::Login, Self::Read, Self::Write];

    /// Name in `RATE_LIMITS`, in metrics and in the answer's header fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One user.
    Account,
    /// One client address; of IPv6 the first 64 bits, which one subscriber has for themselves.
    Address,
}

impl Scope {
    const ALL: [Self; 2] = [Self::Account, Self::Address];

    /// Name in `RATE_LIMITS`, in metrics and in the answer's header fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
        }
    }
}

/// So many requests in a window, all of them at once if the client likes.
///
/// It is the generic cell rate algorithm: each request costs the same share of the window, and the sum that is not yet
/// paid for by the passing of time may not exceed the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests, at least 1.
    pub requests: u32,
    /// Window, at least one second.
    pub window: Duration,
}

impl Quota {
    /// What one request costs.
    pub fn cost(self) -> Duration {
        self.window / self.requests.max(1)
    }

    /// Requests that are left with this debt.
    pub fn remaining(self, debt: Duration) -> u32 {
        let left = self.window.saturating_sub(debt).as_nanos() / self.cost().as_nanos().max(1);
        u32::try_from(left).unwrap_or(u32::MAX).min(self.requests)
    }
}

/// The quotas of every class and scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas([[Quota; Scope::ALL.len()]; Class::ALL.len()]);

impl Default for Quotas {
    /// Logins 60 a minute for an address; everything else 60 for an account and 300 for an address (R-176, R-178, C-12).
    /// Nobody who logs in is an account yet: guessing at one is slowed by `login_attempt`.
    fn default() -> Self {
        let minute = |requests| Quota {
            requests,
            window: Duration::from_mins(1),
        };
        let others = [minute(60), minute(300)];
        Self([[minute(60), minute(60)], others, others])
    }
}

impl Quotas {
    /// The quota of a class and scope.
    pub fn of(&self, class: Class, scope: Scope) -> Quota {
        self.0[class as usize][scope as usize]
    }

    /// Changes what `text` names: `class.scope=requests/seconds`, separated by commas. Gives nothing when it is not of
    /// that form, names logins of accounts, which are not counted here, or a number is not in 1 to 1000000 requests and 1 to 86400 seconds.
    pub fn with(mut self, text: &str) -> Option<Self> {
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, quota) = entry.split_once('=')?;
            let (class, scope) = name.trim().split_once('.')?;
            let (requests, seconds) = quota.trim().split_once('/')?;
            let class = Class::ALL.into_iter().find(|known| known.as_str() == class)?;
            let scope = Scope::ALL.into_iter().find(|known| known.as_str() == scope)?;
            if (class, scope) == (Class::Login, Scope::Account) {
                return None;
            }
            let requests = requests.parse().ok().filter(|n| (1..=1_000_000).contains(n))?;
            let seconds = seconds.parse().ok().filter(|n| (1..=86_400).contains(n))?;
            self.0[class as usize][scope as usize] = Quota {
                requests,
                window: Duration::from_secs(seconds),
            };
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_changes_the_quotas_that_it_names_and_no_other() {
        let quotas = Quotas::default()
            .with(" read.account=1000/30 , login.address=7/1 ")
            .unwrap();
        assert_eq!(quotas.of(Class::Read, Scope::Account).requests, 1000);
        assert_eq!(
            quotas.of(Class::Read, Scope::Account).window,
            Duration::from_secs(30)
        );
        assert_eq!(quotas.of(Class::Login, Scope::Address).requests, 7);
        assert_eq!(Quotas::default().with(""), Some(Quotas::default()));
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        for text in [
            "read.account",
            "read.account=0/60",
            "read.account=5/0",
            "read.account=5",
            "chat.account=5/60",
            "read=5/60",
            "read.account=1000001/60",
            "read.account=-1/60",
            "read.account=5/86401",
            "login.account=5/60",
        ] {
            assert_eq!(Quotas::default().with(text), None, "{text}");
        }
    }

    #[test]
    fn what_remains_shrinks_with_the_debt_and_never_below_nothing() {
        let quota = Quota {
            requests: 5,
            window: Duration::from_mins(1),
        };
        assert_eq!(quota.remaining(Duration::ZERO), 5);
        assert_eq!(quota.remaining(Duration::from_secs(13)), 3);
        assert_eq!(quota.remaining(Duration::from_mins(5)), 0);
    }
}
