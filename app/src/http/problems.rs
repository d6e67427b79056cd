//! The problems that operations declare in the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, ToSchema};

use super::error::Problem;

fn problem(status: &str, description: &str) -> RefOr<Response> {
    let schema = Ref::from_schema_name(Problem::name());
    let mut response = ResponseBuilder::new().description(description).content(
        "application/problem+json",
        ContentBuilder::new().schema(Some(schema)).build(),
    );
    if matches!(status, "429" | "503") {
        let seconds = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(86_400));
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("Seconds until another try may succeed."));
        response = response.header("Retry-After", header.build());
    }
    response.build().into()
}

fn responses(list: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    list.iter()
        .map(|(status, description)| ((*status).to_owned(), problem(status, description)))
        .collect()
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $list:expr;)*) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses(&$list)
                }
            }
        )*
    };
}

problems! {
    /// What any operation may answer.
    Always = [
        ("500", "The program failed."),
        ("503", "Not able to answer now; try again after Retry-After seconds."),
    ];
    /// What an operation for identified callers may answer.
    ForCallers = [
        ("401", "No access token, or not a good one."),
        ("403", "The caller's role may not do this, or another site made a browser send it."),
        ("429", "Too many requests of this account or address; try again after Retry-After seconds."),
    ];
    /// What an operation on one's own account may answer, whatever the role.
    ForSelf = [("401", "No access token, or not a good one.")];
    /// What an operation on one object may answer.
    OnOne = [("404", "There is no such object, or none that the caller may know of.")];
    /// What an operation with a body may answer.
    WithBody = [
        ("400", "The body is not JSON."),
        ("403", "The caller's role may not do this, or another site made a browser send it."),
        ("408", "The body did not arrive in time."),
        ("413", "The body is too large."),
        ("415", "The body is not application/json, or it is compressed."),
        ("422", "Members of the body break rules; `errors` lists them."),
    ];
}
