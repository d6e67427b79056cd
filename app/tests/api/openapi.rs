//! The checked-in documents are the ones of the routes and of the policy table.

#[test]
fn the_checked_in_document_is_what_the_routes_say() {
    let written = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap();
    assert!(
        written == medical_app::http::openapi_document().unwrap(),
        "run: cargo run -p medical-app -- openapi >app/openapi.json"
    );
}

#[test]
fn the_checked_in_matrix_is_what_the_policy_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security/authorisation.md");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == medical_app::policy::document(),
        "run: cargo run -p medical-app -- policy >docs/security/authorisation.md"
    );
}
