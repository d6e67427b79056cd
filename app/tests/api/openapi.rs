//! The checked-in document is the one of the routes.

#[test]
fn the_checked_in_document_is_what_the_routes_say() {
    let written = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap();
    assert!(
        written == medical_app::http::openapi_document().unwrap(),
        "run: cargo run -p medical-app -- openapi >app/openapi.json"
    );
}
