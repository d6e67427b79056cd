//! The CustomResourceDefinition as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::MedicalDeployment;

/// The CustomResourceDefinition as it is installed.
///
/// What schemars writes and a CustomResourceDefinition does not want is removed: `nullable` on optional fields (a
/// server-side apply must never send a null), descriptions of single enumeration values, formats of unsigned numbers.
pub fn custom_resource_definition() -> CustomResourceDefinition {
    let mut value = serde_json::to_value(MedicalDeployment::crd()).unwrap_or_default();
    tidy(&mut value);
    serde_json::from_value(value).unwrap_or_else(|_| MedicalDeployment::crd())
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("nullable");
            if object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                object.remove("format");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// The CustomResourceDefinition as YAML.
///
/// # Errors
/// When the definition cannot be written as YAML, which its types rule out.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&custom_resource_definition())
}
