//! Services that show a certificate of their own.

use reqwest::{Client, Identity};

use crate::authority::Authority;
use crate::deployment::Deployment;
use crate::waiting::until;

fn client(deployment: &Deployment, authority: &Authority, name: &str) -> Client {
    let identity = authority.identity_of(name);
    let pem = format!("{}{}", identity.certificate, identity.key);
    deployment
        .client_builder()
        .identity(Identity::from_pem(pem.as_bytes()).unwrap())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_service_is_known_by_its_certificate_and_a_stranger_gets_no_connection() {
    let mut deployment = Deployment::new().await;
    let services = Authority::new();
    let file = deployment.directory.path().join("services.crt");
    std::fs::write(&file, services.certificate()).unwrap();
    deployment.set("CLIENT_CA_FILE", file.to_str().unwrap());
    let server = deployment.serve().await;
    let url = server.url("/api/patients");

    let known = client(&deployment, &services, "pharmacy.example.org");
    assert_eq!(known.get(&url).send().await.unwrap().status(), 401);
    until("the service's name in the log", async || {
        let name = r#""client":"pharmacy.example.org""#;
        server.output().contains(name).then_some(())
    })
    .await;

    // The deployment's own authority is not the services'.
    for authority in [&deployment.authority, &Authority::new()] {
        let stranger = client(&deployment, authority, "stranger.example.org");
        assert!(stranger.get(&url).send().await.is_err());
    }
    // People and probes have no certificate.
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
    assert!(!server.output().contains("stranger"));
}

#[tokio::test]
async fn without_an_authority_for_services_a_certificate_changes_nothing() {
    let deployment = Deployment::new().await;
    let server = deployment.serve().await;
    let client = client(&deployment, &Authority::new(), "stranger.example.org");
    let answer = client.get(server.url("/livez")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!server.output().contains("stranger"));
}
