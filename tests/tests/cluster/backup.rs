//! Dumps, their verification, a damaged dump, and a restore.

use anyhow::ensure;
use medical_tests::{
    Lab,
    api::{ApiClient, planted, planted_patient, sql},
    commands::{kubectl, run_with_input},
    eventually, in_namespace,
    namespace::small,
    waiting::seconds,
};
use serde_json::{Value, json};

/// Runs a CronJob now, under another name, with its pod changed by `change`, and says whether it succeeded.
async fn run_now(lab: &Lab, cron_job: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
    let namespace = lab.namespace.as_str();
    let from = kubectl(&["-n", namespace, "get", "cronjob", cron_job, "-o", "json"]).expect("the CronJob");
    let from: Value = serde_json::from_str(&from).expect("JSON");
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": from["spec"]["jobTemplate"]["metadata"]["labels"]},
        "spec": from["spec"]["jobTemplate"]["spec"]});
    job["spec"]["backoffLimit"] = json!(0);
    change(&mut job["spec"]["template"]["spec"]);
    run_with_input(
        "kubectl",
        &["-n", namespace, "create", "-f", "-"],
        &job.to_string(),
    )
    .expect("the Job is created");
    eventually(&format!("Job {name} ends"), seconds(180), || async {
        let status = kubectl(&["-n", namespace, "get", "job", name, "-o", "json"])?;
        let status: Value = serde_json::from_str(&status)?;
        let holds = |type_: &str| {
            status["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["type"] == type_ && c["status"] == "True")
        };
        ensure!(holds("Complete") || holds("Failed"), "still running");
        Ok(holds("Complete"))
    })
    .await
}

#[tokio::test]
async fn a_dump_is_encrypted_and_verified_and_restores_the_same_rows_and_a_damaged_one_is_found() {
    in_namespace("backup", async |lab| {
        let namespace = lab.namespace.as_str();
        lab.deploy("clinic", small()).await;
        let before = lab.get("clinic").await.expect("read").status.expect("status");
        assert!(before.backup.is_none(), "a backup is told before there is one");
        let api = ApiClient::of_clinician(&lab, "clinic").await;
        api.create_patient(&planted_patient()).await.expect("created");

        assert!(run_now(&lab, "clinic-backup-daily", "dump-now", |_| {}).await, "the dump failed");
        lab.condition("clinic", "BackupHealthy", "True", 30).await;
        let backup = lab.get("clinic").await.expect("read").status.and_then(|status| status.backup).expect("a backup");
        let file = backup.last_file.expect("a file name");
        assert!(file.starts_with("app-daily-") && backup.last_bytes.unwrap_or(0) > 1000, "{file}");

        assert!(run_now(&lab, "clinic-backup-verify", "verify-now", |_| {}).await, "the verification failed");
        eventually("the verification is told", seconds(30), || async {
            let backup = lab.get("clinic").await?.status.and_then(|status| status.backup);
            ensure!(backup.as_ref().is_some_and(|backup| backup.last_verified_file.as_deref() == Some(&file)), "{backup:?}");
            Ok(())
        })
        .await;

        // Restore into an empty database of the same cluster, as its owner.
        sql(&lab, "clinic", "CREATE DATABASE restored OWNER medical_owner").await.expect("an empty database");
        let restored = run_now(&lab, "clinic-backup-daily", "restore-now", |pod| {
            let volumes = pod["volumes"].as_array_mut().expect("volumes");
            for volume in volumes.iter_mut() {
                if volume["name"] == "key" {
                    volume["secret"]["items"] = json!([{"key": "identity", "path": "identity"}]);
                }
                if volume["name"] == "password" {
                    volume["secret"]["secretName"] = json!("clinic-db-owner");
                }
            }
            let container = &mut pod["containers"][0];
            for variable in container["env"].as_array_mut().expect("env") {
                match variable["name"].as_str() {
                    Some("PGDATABASE") => variable["value"] = json!("restored"),
                    Some("PGUSER") => variable["value"] = json!("medical_owner"),
                    _ => {}
                }
            }
            container["args"] = json!(["restore", "--directory=/backups", "--identity-file=/run/secrets/backup/identity",
                "--latest", "--password-file=/run/secrets/database/password"]);
        })
        .await;
        assert!(restored, "the restore failed");
        let sums = |database: &str| {
            format!("SELECT (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {database} t)")
        };
        for table in ["patient", "audit_event", "app_user", "care_relation"] {
            let primary = lab.get("clinic").await.expect("read").status.and_then(|s| s.database).and_then(|d| d.primary).expect("a primary");
            let sum = |database: &str| {
                kubectl(&["-n", namespace, "exec", &primary, "-c", "postgres", "--", "psql", "-qAtX", "-d", database, "-c", &sums(table)]).expect("a sum")
            };
            if table != "audit_event" {
                assert_eq!(sum("app"), sum("restored"), "{table} differs");
            }
            assert_ne!(sum("restored").trim(), "", "{table} is empty");
        }

        // One byte in the middle of the file.
        let damage = format!(
            "f=/backups/{file}; n=$(($(wc -c < $f) / 2)); b=$(dd if=$f bs=1 skip=$n count=1 2>/dev/null | od -An -tu1); printf \"\\\\$(printf %03o $(( (b + 1) % 256 )))\" | dd of=$f bs=1 seek=$n conv=notrunc 2>/dev/null; if grep -c {} $f; then exit 9; fi; exit 0",
            planted::FAMILY_NAME
        );
        let damaged = run_now(&lab, "clinic-backup-daily", "damage-now", |pod| {
            let container = &mut pod["containers"][0];
            container["command"] = json!(["sh", "-c", damage]);
            container.as_object_mut().expect("a container").remove("args");
        })
        .await;
        assert!(damaged, "the file could not be changed");
        assert!(!run_now(&lab, "clinic-backup-verify", "verify-damaged", |_| {}).await, "a damaged dump passed");
        let (reason, message) = lab.condition("clinic", "BackupHealthy", "False", 30).await;
        assert_eq!(reason, "VerificationFailed", "{message}");
        assert!(message.contains(&file), "{message}");
        lab.condition("clinic", "Ready", "False", 30).await;
    })
    .await;
}
