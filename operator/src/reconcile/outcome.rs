//! What a pass met, besides what it observed. The status is computed from both.

use medical_crds::check::Violation;

use crate::kinds::Kind;

/// An obstacle at one child object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Kind of the child.
    pub kind: Kind,
    /// Name of the child.
    pub name: String,
    /// One word for condition, Event and metric.
    pub reason: &'static str,
    /// What is wrong and what to do. Field paths, never values.
    pub message: String,
}

/// What a pass met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rules that the resource breaks; nothing was changed.
    pub violations: Vec<Violation>,
    /// Steps that wait for something that is under way.
    pub waiting: Vec<Obstacle>,
    /// Steps that failed and will be tried again.
    pub failures: Vec<Obstacle>,
    /// Secrets that guard data and are gone.
    pub lost_secrets: Vec<Obstacle>,
    /// Things that work but need a person.
    pub warnings: Vec<Obstacle>,
}

impl Outcome {
    /// The obstacle at a child, the gravest first.
    pub fn at(&self, kind: Kind, name: &str) -> Option<&Obstacle> {
        self.failures
            .iter()
            .chain(&self.lost_secrets)
            .chain(&self.waiting)
            .find(|obstacle| obstacle.kind == kind && obstacle.name == name)
    }

    /// The first thing that failed.
    pub fn failure(&self) -> Option<&Obstacle> {
        self.failures.first().or_else(|| self.lost_secrets.first())
    }
}
