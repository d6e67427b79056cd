//! How a caller stands to an object.

/// How the caller stands to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is about the caller.
    Own,
    /// The caller cares for the patient.
    Care,
    /// The caller has an emergency access to the patient that has not ended.
    Emergency,
    /// Nothing ties them.
    None,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 4] = [Self::Own, Self::Care, Self::Emergency, Self::None];

    /// As the database's function `relation_to` calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Care => "care",
            Self::Emergency => "emergency",
            Self::None => "none",
        }
    }

    /// The relation of that name; of another name, none.
    pub fn parse(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|relation| relation.as_str() == name)
            .unwrap_or(Self::None)
    }
}
