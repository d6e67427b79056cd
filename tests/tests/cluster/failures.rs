//! What goes wrong, and what status says of it.

use anyhow::ensure;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use medical_tests::{
    api::{ApiClient, planted_patient},
    eventually, in_namespace,
    namespace::{condition_of, merged, small},
    waiting::seconds,
};
use serde_json::json;

#[tokio::test]
async fn a_wrong_image_degrades_with_the_pods_reason_while_the_old_pods_serve_and_heals_with_the_spec() {
    in_namespace("image", async |lab| {
        let sound = merged(
            small(),
            json!({"app": {"image": "docker.io/library/busybox:latest",
            "command": ["sh", "-c", "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www"]}}),
        );
        lab.deploy("clinic", sound.clone()).await;
        let wrong = merged(
            sound.clone(),
            json!({"app": {"image": "docker.io/medops/no-such-image:1.0.0"}}),
        );
        lab.apply("clinic", wrong).await.expect("accepted");
        lab.condition("clinic", "Degraded", "True", 120).await;
        let (reason, message) = lab.condition("clinic", "Ready", "False", 10).await;
        assert!(
            ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"].contains(&reason.as_str()),
            "{reason}: {message}"
        );
        assert!(
            message.contains("1 of 1 pods are available"),
            "the old pod serves: {message}"
        );
        lab.deploy("clinic", sound).await;
    })
    .await;
}

#[tokio::test]
async fn a_failing_migration_blocks_the_rollout_and_is_told() {
    in_namespace("migration", async |lab| {
        let sound = merged(small(), json!({"app": {"image": "docker.io/library/busybox:latest",
            "command": ["sh", "-c", "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www"],
            "init": {"command": ["sh", "-c", "exit 0"]}}}));
        lab.deploy("clinic", sound.clone()).await;
        let before = lab.api::<Deployment>().get("clinic").await.expect("deployed").metadata.generation;
        let failing = json!({"app": {"env": [{"name": "NEW", "value": "1"}], "init": {"command": ["sh", "-c", "echo relation is missing >&2; exit 3"], "timeoutSeconds": 30}}});
        lab.apply("clinic", merged(sound.clone(), failing)).await.expect("accepted");
        let (reason, message) = lab.condition("clinic", "Migrated", "False", 30).await;
        assert!(["Migrating", "NotMigrated", "MigrationFailed"].contains(&reason.as_str()), "{reason}");
        eventually("the failed migration is told", seconds(120), || async {
            let (_, reason, message) = condition_of(&lab.get("clinic").await?, "Ready")?;
            ensure!(reason == "MigrationFailed" && message.contains("relation is missing"), "{reason}: {message}");
            Ok(())
        })
        .await;
        let after = lab.api::<Deployment>().get("clinic").await.expect("deployed").metadata.generation;
        assert_eq!(before, after, "the rollout was not held back: {message}");
        lab.deploy("clinic", sound).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_password_changed_by_hand_is_taken_over_and_a_lost_one_is_reported() {
    in_namespace("password", async |lab| {
        lab.deploy("clinic", small()).await;
        let api = ApiClient::of_clinician(&lab, "clinic").await;
        let id = api.create_patient(&planted_patient()).await.expect("created");

        let secrets = lab.api::<Secret>();
        let password = "a-password-that-somebody-chose-by-hand-0123456789";
        let changed = json!({"stringData": {"password": password}});
        secrets
            .patch("clinic-db-app", &PatchParams::default(), &Patch::Merge(changed))
            .await
            .expect("changed");
        let (reason, message) = lab.condition("clinic", "SecretsReady", "False", 30).await;
        assert_eq!(reason, "UriOutdated");
        assert!(
            message.contains("clinic-db-app") && !message.contains(password),
            "{message}"
        );
        let host = "clinic-db-rw";
        let uri = format!("postgresql://medical_app:{password}@{host}:5432/app");
        let mended = json!({"stringData": {"uri": uri}});
        secrets
            .patch("clinic-db-app", &PatchParams::default(), &Patch::Merge(mended))
            .await
            .expect("mended");
        lab.ready("clinic").await;
        api.patient(&id)
            .await
            .expect("the patient is read with the new password");
        let kept = secrets
            .get("clinic-db-app")
            .await
            .expect("there")
            .data
            .and_then(|mut data| data.remove("password"));
        assert_eq!(
            kept.expect("a password").0,
            password.as_bytes(),
            "the password was replaced silently"
        );

        secrets
            .delete("clinic-keys", &DeleteParams::default())
            .await
            .expect("deleted");
        let (reason, message) = lab.condition("clinic", "SecretsReady", "False", 30).await;
        assert_eq!(reason, "SecretLost");
        assert!(
            message.contains("clinic-keys") && message.contains("backup"),
            "{message}"
        );
        assert!(
            secrets.get_opt("clinic-keys").await.expect("asked").is_none(),
            "new keys were made silently"
        );
    })
    .await;
}
