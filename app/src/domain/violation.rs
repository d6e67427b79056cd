//! Why a value is not valid.

/// A rule that a value breaks. It never holds the value: answers and logs repeat nothing that was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Violation {
    /// Stable name of the rule, for programs.
    pub code: &'static str,
    /// The rule, for people.
    pub detail: String,
}

impl Violation {
    /// A broken rule.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}
