//! The rules that a resource has to keep, looked at once for each version of its spec: evaluating the expressions of the
//! schema costs more than all the rest of a pass that changes nothing.

use medical_crds::{
    MedicalDeployment,
    check::{self, Violation},
};

use crate::{per_deployment::PerDeployment, store::Owner};

/// A version of a spec, and the rules that it breaks.
struct Looked {
    uid: Option<String>,
    generation: Option<i64>,
    violations: Vec<Violation>,
}

/// What was found before, by deployment.
#[derive(Default)]
pub struct ViolationMemory(PerDeployment<Looked>);

impl ViolationMemory {
    /// The rules that the resource breaks.
    pub fn violations(&self, owner: &Owner, deployment: &MedicalDeployment) -> Vec<Violation> {
        let metadata = &deployment.metadata;
        let known = self.0.lock();
        if let Some(looked) = known.get(owner)
            && looked.uid == metadata.uid
            && looked.generation == metadata.generation
        {
            return looked.violations.clone();
        }
        drop(known); // others need not wait for the rules of this one
        let violations = check::violations(deployment);
        let looked = Looked {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            violations: violations.clone(),
        };
        self.0.lock().insert(owner.clone(), looked);
        violations
    }

    /// Forgets a deployment that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.0.forget(owner);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_changed_spec_is_looked_at_again_and_so_is_another_resource_of_the_same_name() {
        let memory = ViolationMemory::default();
        let owner = Owner {
            namespace: "ns".to_owned(),
            name: "clinic".to_owned(),
        };
        let found = |uid: &str, generation: i64, zone: &str| {
            let spec = json!({"backup": {"logical": {"timeZone": zone}}});
            let mut deployment = MedicalDeployment::new("clinic", serde_json::from_value(spec).unwrap());
            deployment.metadata.uid = Some(uid.to_owned());
            deployment.metadata.generation = Some(generation);
            memory.violations(&owner, &deployment).len()
        };
        assert_eq!(found("a", 1, "Etc/UTC"), 0);
        assert_eq!(
            found("a", 1, "Nowhere"),
            0,
            "the spec of a generation never changes"
        );
        assert_eq!(found("a", 2, "Nowhere"), 1);
        assert_eq!(found("b", 2, "Etc/UTC"), 0);
    }
}
