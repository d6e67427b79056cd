//! Synthetic users of every role, and synthetic patients.

use medical_app::domain::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{Client, text};
use super::directory::{Directory, random_text};
use super::ours::Ours;
use crate::{Failure, failed};

/// The members of staff: names of their files and addresses, and roles.
const STAFF: [(&str, &str, Role); 7] = [
    ("doctor", "Synthetic Doctor", Role::Doctor),
    ("other-doctor", "Synthetic Other Doctor", Role::Doctor),
    ("nurse", "Synthetic Nurse", Role::Nurse),
    ("radiologist", "Synthetic Radiologist", Role::Radiologist),
    ("receptionist", "Synthetic Receptionist", Role::Receptionist),
    ("auditor", "Synthetic Auditor", Role::Auditor),
    ("administrator", "Synthetic Administrator", Role::Administrator),
];

/// Somebody with an account. There is no Debug: it holds the password.
pub struct User {
    /// Identity, a UUID.
    pub id: String,
    /// Name of the user's files.
    pub name: &'static str,
    /// Login name.
    pub email: String,
    /// What the user may do.
    pub role: Role,
    /// Random, for this run.
    pub password: Zeroizing<String>,
}

/// The user of that name.
///
/// # Errors
/// There is none.
pub fn named<'a>(users: &'a [User], name: &str) -> Result<&'a User, Failure> {
    users
        .iter()
        .find(|user| user.name == name)
        .ok_or_else(|| failed(format!("there is no user {name}")))
}

/// The identities of the patients.
pub struct Patients {
    /// In the care of the doctor and the nurse.
    pub first: String,
    /// In the care of the doctor only.
    pub second: String,
    /// In the care of the other doctor only.
    pub foreign: String,
}

/// Makes the members of staff. Accounts are made by the owner's command; the API has no operation for that.
pub async fn employ(ours: &Ours, directory: &Directory) -> Result<Vec<User>, Failure> {
    let mut users = Vec::new();
    for (name, display_name, role) in STAFF {
        users.push(create(ours, directory, name, display_name, role, &[]).await?);
    }
    Ok(users)
}

/// Makes the account of the first patient.
pub async fn open_account(
    ours: &Ours,
    directory: &Directory,
    mut users: Vec<User>,
    patients: &Patients,
) -> Result<Vec<User>, Failure> {
    let of = ["--patient", patients.first.as_str()];
    users.push(
        create(
            ours,
            directory,
            "patient",
            "Synthetic Patient",
            Role::Patient,
            &of,
        )
        .await?,
    );
    Ok(users)
}

async fn create(
    ours: &Ours,
    directory: &Directory,
    name: &'static str,
    display_name: &str,
    role: Role,
    further: &[&str],
) -> Result<User, Failure> {
    let email = format!("{name}@clinic.example");
    let password = random_text::<18>()?;
    let arguments = [
        "admin",
        "create-user",
        "--email",
        &email,
        "--display-name",
        display_name,
        "--role",
        role.as_str(),
    ];
    let id = ours.run(&[&arguments[..], further].concat(), &password).await?;
    // What the tour sends to log in, in a file: arguments are seen in the list of processes.
    let login = json!({"email": email, "password": password.as_str()});
    directory.write(&format!("{name}.json"), &login.to_string())?;
    Ok(User {
        id,
        name,
        email,
        role,
        password,
    })
}

/// Admits the patients as their doctors, and brings a nurse into one care team.
pub async fn admit_patients(client: &Client, users: &[User]) -> Result<Patients, Failure> {
    let doctor = client.login(named(users, "doctor")?).await?;
    let other = client.login(named(users, "other-doctor")?).await?;
    let patients = Patients {
        first: admit(client, &doctor, &record("DEMO-1", "One", "1958-03-14")).await?,
        second: admit(client, &doctor, &record("DEMO-2", "Two", "1990-11-02")).await?,
        foreign: admit(client, &other, &record("DEMO-3", "Three", "2015-07-30")).await?,
    };
    let nurse = named(users, "nurse")?;
    let path = format!("/api/patients/{}/care-team/{}", patients.first, nurse.id);
    client
        .send(Method::PUT, &path, Some(&doctor), None, StatusCode::NO_CONTENT)
        .await?;
    Ok(patients)
}

async fn admit(client: &Client, token: &str, record: &Value) -> Result<String, Failure> {
    let answer = client
        .send(
            Method::POST,
            "/api/patients",
            Some(token),
            Some(record.clone()),
            StatusCode::CREATED,
        )
        .await?;
    text(&answer, "id")
}

/// What is recorded about a patient who does not exist.
pub fn record(number: &str, given_name: &str, born: &str) -> Value {
    json!({
        "recordNumber": number,
        "familyName": "Synthetic",
        "givenName": given_name,
        "dateOfBirth": born,
        "notes": "Invented for a demonstration.",
    })
}
