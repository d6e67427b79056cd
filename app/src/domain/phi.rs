//! Protected health information in memory.

/// A value that identifies or describes a patient.
///
/// It has no Debug, no Display and no Serialize, so that no log line, error, span or answer can hold one by accident;
/// [`Phi::expose`] is the only way to the value, and easy to find in review.
///
/// ```compile_fail
/// let value = medical_app::domain::Phi::new("Ada".to_owned());
/// println!("{value}");
/// ```
/// ```compile_fail
/// let value = medical_app::domain::Phi::new("Ada".to_owned());
/// println!("{value:?}");
/// ```
/// ```compile_fail
/// let value = medical_app::domain::Phi::new("Ada".to_owned());
/// serde_json::to_string(&value);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Marks a value as protected.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &T {
        &self.0
    }
}
