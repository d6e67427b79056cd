//! From a resource to a patient that is encrypted in PostgreSQL.

use medical_tests::{
    api::{ApiClient, planted, planted_patient, sql},
    in_namespace,
    namespace::small,
};

#[tokio::test]
async fn a_minimal_resource_becomes_an_api_whose_patients_are_encrypted_at_rest() {
    in_namespace("patient", async |lab| {
        lab.deploy("clinic", small()).await;

        let api = ApiClient::of_clinician(&lab, "clinic").await;
        let id = api.create_patient(&planted_patient()).await.expect("created");
        let read = api.patient(&id).await.expect("read");
        assert_eq!(read["familyName"], planted::FAMILY_NAME);

        let row = sql(
            &lab,
            "clinic",
            "SELECT p::text, encode(p.family_name, 'escape') FROM patient p",
        )
        .await
        .expect("a row");
        for word in [planted::FAMILY_NAME, planted::NOTES, planted::RECORD_NUMBER] {
            assert!(!row.contains(word), "readable PHI in the row");
        }
        let audit = sql(
            &lab,
            "clinic",
            &format!("SELECT action FROM audit_event WHERE '{id}' = ANY(resource_ids) ORDER BY sequence"),
        )
        .await
        .expect("audit rows");
        assert_eq!(audit.split_whitespace().collect::<Vec<_>>(), ["create", "read"]);
    })
    .await;
}
