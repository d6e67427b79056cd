//! The whole plan of each spec as one document of YAML objects.

use crate::{sample::Sample, specs};

#[test]
fn the_whole_plan_of_each_spec_is_as_reviewed() {
    for (name, spec) in specs::all() {
        let documents: Vec<String> = Sample::new(spec)
            .plan()
            .iter()
            .map(|child| serde_saphyr::to_string(&child.object).expect("YAML"))
            .collect();
        insta::assert_snapshot!(name, documents.join("---\n"));
    }
}
