//! The command line: refusing to start, checking the configuration, making users.

use crate::deployment::{Deployment, USER_PASSWORD, run};

#[tokio::test]
async fn with_a_wrong_configuration_nothing_starts_and_every_fault_is_named() {
    let mut deployment = Deployment::new().await;
    deployment.set("ENVIRONMENT", "moon");
    deployment.set("DATABASE_HOST", "");
    std::fs::write(deployment.directory.path().join("keys/phi-kek"), "AAAA").unwrap();
    for arguments in [&[][..], &["serve"], &["config", "check"]] {
        let output = run(deployment.command(arguments), "");
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        for name in ["ENVIRONMENT", "DATABASE_HOST", "KEYS_DIRECTORY"] {
            assert!(message.contains(name), "{message}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_complete_configuration_passes_the_check() {
    let deployment = Deployment::new().await;
    let output = run(deployment.command(&["config", "check"]), "");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_help_text_needs_no_configuration_and_names_every_variable() {
    let deployment = Deployment::new().await;
    let mut command = deployment.command(&["--help"]);
    command.env_clear();
    let output = run(command, "");
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in medical_app::config::variables::ALL {
        assert!(help.contains(variable.name), "{} is missing", variable.name);
    }
}

#[tokio::test]
async fn a_user_is_made_once_and_a_second_time_is_an_error_or_no_change_as_asked() {
    let deployment = Deployment::new().await;
    deployment.create_user("ada@clinic.example.org", "clinician");
    let again = [
        "admin",
        "create-user",
        "--email",
        "Ada@Clinic.example.org",
        "--role",
        "administrator",
    ];
    let output = deployment.run_as_owner(&again, USER_PASSWORD);
    assert_eq!(output.status.code(), Some(1));
    let output = deployment.run_as_owner(&[&again[..], &["--if-absent"]].concat(), USER_PASSWORD);
    assert!(output.status.success(), "{output:?}");
    let mut superuser = deployment.connect("postgres").await;
    let users: Vec<String> = sqlx::query_scalar("SELECT access_role FROM app_user")
        .fetch_all(&mut superuser)
        .await
        .unwrap();
    assert_eq!(users, ["doctor"]);
    let recorded: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_event WHERE resource = 'user' AND action = 'create'")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!(recorded, 1);
}

#[tokio::test]
async fn a_weak_password_or_a_malformed_address_is_refused_without_being_repeated() {
    let deployment = Deployment::new().await;
    for (email, password) in [
        ("ada@clinic.example.org", "planted-short"),
        ("ada@clinic.example.org", ""),
        ("planted", USER_PASSWORD),
    ] {
        let arguments = ["admin", "create-user", "--email", email, "--role", "clinician"];
        let output = deployment.run_as_owner(&arguments, password);
        assert_eq!(output.status.code(), Some(1));
        assert!(!String::from_utf8(output.stderr).unwrap().contains("planted"));
    }
}

#[tokio::test]
async fn the_serving_role_cannot_make_users() {
    let deployment = Deployment::new().await;
    let arguments = [
        "admin",
        "create-user",
        "--email",
        "eve@clinic.example.org",
        "--role",
        "administrator",
    ];
    let output = run(deployment.command(&arguments), USER_PASSWORD);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
