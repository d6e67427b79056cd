//! kubeconform: every field of every object is one that the API server knows, of the type that it takes.
//!
//! The schemas are the API server's own OpenAPI documents, so that those of our kind and of CloudNativePG's are judged
//! too, and nothing is downloaded.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, ensure};
use medical_tests::{
    commands::{kubectl, run_with_input},
    eventually,
    waiting::seconds,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Manifests, children_of_samples, children_with, installations, samples};

/// Kinds that this API server does not serve, each with the reason.
const SKIPPED: [(&str, &str); 1] = [(
    "ServiceMonitor",
    "its definition comes with prometheus-operator, which the chart does not need",
)];

/// A kind that another test takes away for a while, by the document that holds it.
const COMES_AND_GOES: (&str, &str) = ("apis/postgresql.cnpg.io/v1", "io.cnpg.postgresql.v1.Cluster");

/// The API server's schemas in a folder, laid out for `--schema-location`.
struct Schemas(TempDir);

impl Schemas {
    async fn of_the_api_server() -> Self {
        let documents = eventually("every schema is published", seconds(120), || async {
            let documents = documents()?;
            let (path, kind) = COMES_AND_GOES;
            let schemas = documents
                .get(path)
                .map(|document| &document["components"]["schemas"]);
            ensure!(
                schemas.is_some_and(|schemas| schemas[kind].is_object()),
                "{path} has no {kind}"
            );
            Ok(documents)
        })
        .await;
        let folder = tempfile::tempdir().expect("a folder");
        for (path, document) in documents {
            write(folder.path(), &path, document).expect("written");
        }
        Self(folder)
    }

    /// What is wrong with the manifests, one line each.
    fn faults(&self, manifests: &Manifests) -> Vec<String> {
        let location = self
            .0
            .path()
            .join("{{.Group}}/{{.ResourceAPIVersion}}/{{.ResourceKind}}.json");
        let skipped = SKIPPED.map(|(kind, _)| kind).join(",");
        let answer = run_with_input(
            "sh",
            &[
                "-c",
                r#"kubeconform -strict -summary -output json -schema-location "$0" -skip "$1" || true"#,
                location.to_str().expect("a path"),
                &skipped,
            ],
            &manifests.text,
        )
        .expect("kubeconform judges");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let resources = answer["resources"].as_array().expect("resources");
        let counted = |what: &str| answer["summary"][what].as_u64().expect("a number");
        assert!(
            counted("valid") > 0 || !resources.is_empty(),
            "kubeconform judged nothing of {}",
            manifests.name
        );
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        resources
            .iter()
            .filter(|resource| resource["status"] != "statusSkipped")
            .map(|resource| {
                let [kind, name, message] = ["kind", "name", "msg"].map(|field| text(&resource[field]));
                format!("{}: {kind} {name}: {message}", manifests.name)
            })
            .collect()
    }
}

/// The API server's documents, one for each version of a group, by path: `api/v1`, `apis/apps/v1`.
fn documents() -> anyhow::Result<BTreeMap<String, Value>> {
    let get = |path: &str| anyhow::Ok(serde_json::from_str::<Value>(&kubectl(&["get", "--raw", path])?)?);
    let index = get("/openapi/v3")?;
    let paths = index["paths"].as_object().context("no paths")?.keys();
    paths
        .filter(|path| path.as_str() == "api/v1" || path.matches('/').count() == 2)
        .map(|path| Ok((path.clone(), get(&format!("/openapi/v3/{path}"))?)))
        .collect()
}

/// Writes a document, and for each of its kinds a file that points into it.
fn write(folder: &Path, path: &str, mut document: Value) -> anyhow::Result<()> {
    let (of_group, version) = path.rsplit_once('/').context("no version")?;
    let group = of_group.strip_prefix("apis/").unwrap_or_default();
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
        return Ok(()); // a group without kinds of its own
    };
    // kubeconform says `v1` for the group of what has none.
    let kinds = folder
        .join(if group.is_empty() { version } else { group })
        .join(version);
    fs::create_dir_all(&kinds)?;
    for (name, schema) in schemas {
        close(schema);
        let described = schema["x-kubernetes-group-version-kind"].as_array();
        for kind in described.into_iter().flatten() {
            if kind["group"] == group && kind["version"] == version {
                let kind = kind["kind"].as_str().context("no kind")?.to_lowercase();
                let reference = json!({"$ref": format!("document.json#/components/schemas/{name}")});
                fs::write(kinds.join(format!("{kind}.json")), reference.to_string())?;
            }
        }
    }
    fs::write(kinds.join("document.json"), document.to_string())?;
    Ok(())
}

/// Forbids fields that the schema does not name, as the API server does under strict field validation.
fn close(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    let open = fields.contains_key("additionalProperties")
        || fields.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if fields.contains_key("properties") && !open {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
    }
    for inner in ["items", "additionalProperties"] {
        fields.get_mut(inner).into_iter().for_each(close);
    }
}

#[tokio::test]
async fn kubeconform_finds_no_field_that_the_api_server_does_not_know_in_anything_shipped() {
    let schemas = Schemas::of_the_api_server().await;
    for manifests in installations()
        .into_iter()
        .chain(samples())
        .chain(children_of_samples())
    {
        assert_eq!(schemas.faults(&manifests), Vec::<String>::new());
    }
}

#[tokio::test]
async fn kubeconform_does_find_an_unknown_field_a_wrong_type_and_a_key_that_is_there_twice() {
    let schemas = Schemas::of_the_api_server().await;
    let sample = |spec: &str| {
        format!(
            "apiVersion: medops.dev/v1alpha1\nkind: MedicalDeployment\nmetadata: {{name: clinic}}\nspec: {spec}\n"
        )
    };
    for (wrong, told) in [
        (children_with("imageName:", "imagename:"), "imagename"),
        (
            children_with("automountServiceAccountToken:", "automountServiceAccountTokens:"),
            "automountServiceAccountTokens",
        ),
        (
            children_with("instances: 1", "instances: one"),
            "got string, want integer",
        ),
        (sample("{app: {replica: 2}}"), "replica"),
        (sample("{app: {replicas: 1, replicas: 2}}"), "already set in map"),
        (
            "apiVersion: v1\nkind: Unheard\nmetadata: {name: a}\n".to_owned(),
            "could not find schema",
        ),
    ] {
        let manifests = Manifests {
            name: "a fault".to_owned(),
            text: wrong,
        };
        let faults = schemas.faults(&manifests);
        assert!(
            faults.iter().any(|fault| fault.contains(told)),
            "{told}: {faults:?}"
        );
    }
}
