//! How long the statements of an operation may take. PostgreSQL enforces it, so that a client that is gone leaves no
//! work behind, and nothing waits for a lock longer than its caller would wait for the answer (ASVS 13.1.3).

use std::time::Duration;

use crate::policy::Action;

/// Time limits of the statements of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// One statement.
    pub statement: Duration,
    /// One wait for a lock.
    pub lock: Duration,
}

impl Budget {
    /// The budget of an action. A read that has to wait for a lock meets a migration, and is better refused soon; a write
    /// may meet another one on the same record.
    pub fn of(action: Action) -> Self {
        let (statement, lock) = match action {
            Action::Read | Action::Search => (2_000, 1_000),
            Action::List => (5_000, 1_000),
            _ => (5_000, 2_000),
        };
        Self {
            statement: Duration::from_millis(statement),
            lock: Duration::from_millis(lock),
        }
    }
}

/// As PostgreSQL reads it.
pub(super) fn setting(limit: Duration) -> String {
    format!("{}ms", limit.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_may_outlast_the_request_and_no_lock_its_statement() {
        for action in Action::ALL {
            let budget = Budget::of(action);
            assert!(budget.statement < Duration::from_secs(30), "{action:?}");
            assert!(budget.lock < budget.statement, "{action:?}");
        }
    }
}
