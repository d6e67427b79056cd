//! What is printed: who can log in, and commands that show the API, each to be copied as a line.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::people::{Patients, User, named, record};
use crate::{Failure, failed};

/// Where everything is.
pub struct Place<'a> {
    /// The temporary directory.
    pub directory: &'a Path,
    /// Port of the API.
    pub port: u16,
    /// Port of the metrics.
    pub metrics_port: u16,
}

/// A line to copy.
struct Line {
    title: &'static str,
    status: u16,
    command: String,
}

/// The whole text.
pub fn render(
    place: &Place<'_>,
    users: &[User],
    patients: &Patients,
    keeps_data: bool,
) -> Result<String, Failure> {
    let Place {
        directory,
        port,
        metrics_port,
    } = place;
    let mut text = format!(
        "The API: https://localhost:{port}\nIts metrics: http://localhost:{metrics_port}/metrics\n\
         Everybody in it is synthetic; the passwords are random, for this run, and shown once:\n\n"
    );
    for user in users {
        writeln!(
            text,
            "  {:<14} {:<32} {}",
            user.role.as_str(),
            user.email,
            user.password.as_str()
        )
        .map_err(failed)?;
    }
    text.push_str("\nA tour, to be copied line by line. Each line prints its status, which the comment above it tells.\n");
    for line in lines(place, users, patients)? {
        write!(text, "\n# {} ({})\n{}\n", line.title, line.status, line.command).map_err(failed)?;
    }
    writeln!(
        text,
        "\nCtrl-C ends everything and removes {}.",
        directory.display()
    )
    .map_err(failed)?;
    if keeps_data {
        text.push_str("The database keeps what was written, and the server its role medical_app.\n");
    }
    Ok(text)
}

/// Builds lines for one place.
struct Lines<'a> {
    place: &'a Place<'a>,
    lines: Vec<Line>,
}

impl Lines<'_> {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.place.directory.display())
    }

    fn curl(&self, options: &str, path: &str) -> String {
        format!(
            "curl -sS -w '\\n%{{http_code}}\\n' --cacert {} {options} 'https://localhost:{}{path}'",
            self.file("ca.crt"),
            self.place.port
        )
        .replace("  ", " ")
    }

    fn add(&mut self, title: &'static str, status: u16, command: String) {
        self.lines.push(Line {
            title,
            status,
            command,
        });
    }

    /// As somebody who logged in before.
    fn request(&mut self, title: &'static str, status: u16, user: &str, options: &str, path: &str) {
        let options = format!("-H @{} {options}", self.file(&format!("{user}.header")));
        let command = self.curl(options.trim(), path);
        self.add(title, status, command);
    }

    /// Keeps the token as a line of a header, so that it is not an argument of the next commands.
    fn login(&mut self, title: &'static str, user: &str) {
        let (login, answer, header) = (
            self.file(&format!("{user}.json")),
            self.file(&format!("{user}.answer")),
            self.file(&format!("{user}.header")),
        );
        let options = format!("-H 'Content-Type: application/json' -d @{login} -o {answer}");
        let command = format!(
            "{} && sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/Authorization: Bearer \\1/' {answer} > {header}",
            self.curl(&options, "/api/auth/login"),
        );
        self.add(title, 200, command);
    }
}

fn body(method: &str, body: &serde_json::Value) -> String {
    format!("-X {method} -H 'Content-Type: application/json' -d '{body}'")
}

fn path(id: &str) -> String {
    format!("/api/patients/{id}")
}

fn lines(place: &Place<'_>, users: &[User], patients: &Patients) -> Result<Vec<Line>, Failure> {
    let mut tour = Lines {
        place,
        lines: Vec::new(),
    };
    records(&mut tour, patients);
    care(&mut tour, patients, named(users, "radiologist")?);
    other_roles(&mut tour, patients);
    let metrics = tour.file("metrics.txt");
    tour.add(
        "What is counted",
        200,
        format!(
            "curl -sS -w '%{{http_code}}\\n' -o {metrics} http://localhost:{}/metrics && grep ^auth_logins_total {metrics}",
            place.metrics_port
        ),
    );
    Ok(tour.lines)
}

/// What a doctor does with records.
fn records(tour: &mut Lines<'_>, patients: &Patients) {
    let patient = path(&patients.first);
    let admitted = body("POST", &record("DEMO-4", "Four", "2001-01-31"));
    let changed = record("DEMO-1", "One", "1958-03-14");

    let ready = tour.curl("", "/readyz");
    tour.add("Is it ready?", 200, ready);
    let login = format!(
        "-H 'Content-Type: application/json' -d @{}",
        tour.file("doctor.json")
    );
    let login = tour.curl(&login, "/api/auth/login");
    tour.add("Log in as the doctor: an access token", 200, login);
    tour.login("The same, and keep the token for the lines below", "doctor");

    tour.request(
        "List the patients in one's care, one a page: `next` leads on",
        200,
        "doctor",
        "",
        "/api/patients?limit=1",
    );
    tour.request(
        "Read one; the ETag is the record's version",
        200,
        "doctor",
        "-i",
        &patient,
    );
    let with_key = format!("-H 'Idempotency-Key: \"tour-1\"' {admitted}");
    tour.request("Admit a patient", 201, "doctor", &with_key, "/api/patients");
    tour.request(
        "The same again, as after a lost answer: nobody is admitted twice",
        201,
        "doctor",
        &with_key,
        "/api/patients",
    );
    tour.request(
        "With another Idempotency-Key: the record number is taken",
        409,
        "doctor",
        &format!("-H 'Idempotency-Key: \"tour-2\"' {admitted}"),
        "/api/patients",
    );
    let update = format!("-H 'If-Match: \"1\"' {}", body("PUT", &changed));
    tour.request(
        "Change the version that was read",
        200,
        "doctor",
        &update,
        &patient,
    );
    tour.request(
        "Change that version again: it is not the newest any more",
        412,
        "doctor",
        &update,
        &patient,
    );
    tour.request(
        "Change without saying which version",
        428,
        "doctor",
        &body("PUT", &changed),
        &patient,
    );
    let invalid = body(
        "POST",
        &json!({"recordNumber": "DEMO 5", "familyName": "", "dateOfBirth": "2999-01-01"}),
    );
    tour.request(
        "Every fault of a body at once, and never a value",
        422,
        "doctor",
        &invalid,
        "/api/patients",
    );
    let search = body("POST", &json!({"recordNumber": "demo-2"}));
    tour.request(
        "Find by record number",
        200,
        "doctor",
        &search,
        "/api/patients/search",
    );
}

/// Who cares for whom, and what happens in an emergency.
fn care(tour: &mut Lines<'_>, patients: &Patients, radiologist: &User) {
    let team = format!("{}/care-team", path(&patients.first));
    tour.request("Who cares for a patient", 200, "doctor", "", &team);
    let member = format!("{team}/{}", radiologist.id);
    tour.request("Bring a radiologist in", 204, "doctor", "-X PUT", &member);
    tour.request("Take the radiologist out", 204, "doctor", "-X DELETE", &member);

    tour.request(
        "A patient of another doctor: as if there were none",
        404,
        "doctor",
        "",
        &path(&patients.foreign),
    );
    let emergency = body(
        "POST",
        &json!({"reason": "Unconscious in the emergency room, allergies unknown.", "minutes": 15}),
    );
    tour.request(
        "Emergency access to that patient",
        201,
        "doctor",
        &emergency,
        &format!("{}/emergency-access", path(&patients.foreign)),
    );
    tour.request(
        "Now the patient can be read, and each time is recorded",
        200,
        "doctor",
        "",
        &path(&patients.foreign),
    );
}

/// What others may do.
fn other_roles(tour: &mut Lines<'_>, patients: &Patients) {
    let (first, second) = (path(&patients.first), path(&patients.second));
    tour.login("Log in as the nurse", "nurse");
    let older = body("PUT", &record("DEMO-1", "One", "1957-03-14"));
    tour.request(
        "What a nurse may not change",
        403,
        "nurse",
        &format!("-H 'If-Match: \"2\"' {older}"),
        &first,
    );
    tour.request(
        "A patient who is not in the nurse's care",
        404,
        "nurse",
        "",
        &second,
    );
    tour.login("Log in as the receptionist", "receptionist");
    tour.request(
        "A receptionist sees every patient, and nobody's notes",
        200,
        "receptionist",
        "",
        &second,
    );
    tour.login("Log in as the patient", "patient");
    tour.request(
        "Patients see their own record",
        200,
        "patient",
        "",
        "/api/patients",
    );
    tour.login("Log in as the auditor", "auditor");
    tour.request("An auditor sees no patient", 403, "auditor", "", &first);
    tour.request(
        "The auditor reviews emergency accesses",
        200,
        "auditor",
        "",
        "/api/emergency-access",
    );
    tour.request(
        "And reads who did what; here the first row",
        200,
        "auditor",
        "",
        "/api/audit-events?before=2",
    );
}
