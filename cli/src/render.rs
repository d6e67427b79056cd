//! `render`: the whole plan for a resource, without a cluster.

use std::{collections::BTreeMap, fmt::Write, fs, io::Read, path::Path};

use anyhow::{Context, bail};
use medical_crds::{MedicalDeployment, check, names::Names};
use medical_operator::{build::Inputs, reconcile::plan::plan, secrets, settings::Settings};

pub(crate) fn print(file: &Path, namespace: &str) -> anyhow::Result<()> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    print!("{}", render(&text, namespace)?);
    Ok(())
}

/// Every object as YAML, the needed Secrets without values.
fn render(text: &str, namespace: &str) -> anyhow::Result<String> {
    let mut deployment: MedicalDeployment = serde_saphyr::from_str(text)
        .context("this is no MedicalDeployment: write one document of that kind")?;
    deployment
        .metadata
        .namespace
        .get_or_insert_with(|| namespace.to_owned());
    // An owner reference needs a UID, which only the cluster can give.
    deployment
        .metadata
        .uid
        .get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
    let violations = check::violations(&deployment);
    if !violations.is_empty() {
        let list: Vec<String> = violations
            .iter()
            .map(|violation| format!("  {}: {}", violation.field, violation.remedy))
            .collect();
        bail!("the resource breaks {} rule(s):\n{}", list.len(), list.join("\n"));
    }
    let name = deployment
        .metadata
        .name
        .clone()
        .context("metadata.name is missing")?;
    let (settings, checksums) = (Settings::default(), BTreeMap::new());
    let inputs = Inputs {
        deployment: &deployment,
        names: Names::of(&name),
        settings: &settings,
        api_server: &[],
        secret_checksums: &checksums,
    };
    let mut output = String::new();
    for need in secrets::needed(&deployment.spec, &inputs.names) {
        let keys: Vec<&str> = need.keys.iter().map(String::as_str).collect();
        let purpose = need.purpose.describe();
        writeln!(
            output,
            "# Secret {}: {purpose}; keys {}; generated once",
            need.name,
            keys.join(", ")
        )?;
    }
    for child in plan(&inputs) {
        output.push_str("---\n");
        output.push_str(serde_saphyr::to_string(&child.object)?.trim_end());
        output.push('\n');
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_resource_renders_every_kind_of_child() {
        let text =
            "apiVersion: medops.dev/v1alpha1\nkind: MedicalDeployment\nmetadata: {name: clinic}\nspec: {}\n";
        let output = render(text, "ward").unwrap();
        for kind in [
            "Deployment",
            "Cluster",
            "NetworkPolicy",
            "CronJob",
            "Service",
            "Job",
        ] {
            assert!(output.contains(&format!("kind: {kind}\n")), "{kind}");
        }
        assert!(output.contains("# Secret clinic-keys"));
    }

    #[test]
    fn a_resource_that_breaks_a_rule_is_not_rendered() {
        let text = "apiVersion: medops.dev/v1alpha1\nkind: MedicalDeployment\nmetadata: {name: clinic}\nspec: {environment: production}\n";
        let error = render(text, "ward").unwrap_err().to_string();
        assert!(error.contains("spec.database.managed.instances"), "{error}");
    }
}
