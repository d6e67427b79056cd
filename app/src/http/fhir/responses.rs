//! Answers that operations of this folder declare in the OpenAPI document.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::format::FHIR_JSON;

/// A resource of FHIR R4, which <https://hl7.org/fhir/R4/resourcelist.html> describes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FhirResource {
    /// Name of the type.
    #[schema(max_length = 64, example = "OperationOutcome")]
    resource_type: String,
}

fn outcomes(list: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let outcome = |(status, description): &(&str, &str)| {
        let schema = Ref::from_schema_name(FhirResource::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(format!("OperationOutcome: {description}"))
            .content(FHIR_JSON, content);
        ((*status).to_owned(), response.build().into())
    };
    list.iter().map(outcome).collect()
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $list:expr;)*) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    outcomes(&$list)
                }
            }
        )*
    };
}

outcomes! {
    /// What any operation may answer.
    Always = [
        ("406", "Only JSON of FHIR 4.0 is offered."),
        ("429", "Too many requests; try again after Retry-After seconds."),
        ("500", "The program failed."),
        ("503", "Not able to answer now; try again after Retry-After seconds."),
    ];
    /// What an operation for identified callers may answer.
    ForCallers = [
        ("401", "No access token, or not a good one."),
        ("403", "The caller's role may not do this."),
    ];
    /// What an operation on one resource may answer.
    OnOne = [("404", "There is no such resource, or none that the caller may know of.")];
    /// What a search may answer.
    OnSearch = [("400", "A parameter is not valid; `location` names it.")];
}
