//! Every role against every operation on every relation to the object: the answer of the API, and that of PostgreSQL
//! alone, are the ones of the policy table.

use medical_app::domain::Role;
use medical_app::policy::{Action, Relation, ResourceKind, TABLE, permits, permits_for};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::deployment::{Clinic, Person, patient, problem};

/// What the API offers to identified callers and the policy decides.
///
/// Emergency access is last: it changes the relation to the patient.
const OPERATIONS: [(ResourceKind, Action); 16] = [
    (ResourceKind::Patient, Action::Create),
    (ResourceKind::Patient, Action::Read),
    (ResourceKind::Patient, Action::Update),
    (ResourceKind::Patient, Action::List),
    (ResourceKind::Patient, Action::Search),
    (ResourceKind::CareTeam, Action::List),
    (ResourceKind::CareTeam, Action::Create),
    (ResourceKind::CareTeam, Action::Delete),
    (ResourceKind::EmergencyAccess, Action::List),
    (ResourceKind::EmergencyAccess, Action::Review),
    (ResourceKind::User, Action::List),
    (ResourceKind::User, Action::Update),
    (ResourceKind::User, Action::Deactivate),
    (ResourceKind::AuditEvent, Action::List),
    (ResourceKind::AuditEvent, Action::Read),
    (ResourceKind::EmergencyAccess, Action::BreakGlass),
];

/// Those that are offered a second time, by FHIR.
const ALSO_BY_FHIR: [(ResourceKind, Action); 4] = [
    (ResourceKind::Patient, Action::Read),
    (ResourceKind::Patient, Action::List),
    (ResourceKind::Patient, Action::Search),
    (ResourceKind::AuditEvent, Action::List),
];

/// Parts of the OpenAPI document whose operations the policy decides.
const TAGS: [&str; 6] = [
    "patients",
    "care team",
    "emergency access",
    "users",
    "audit",
    "fhir",
];

/// One question to the table.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Cell {
    role: Role,
    resource: ResourceKind,
    action: Action,
    relation: Relation,
}

impl Cell {
    /// The relations that a caller of this role can have to an object of this kind.
    fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for role in Role::ALL {
            for (resource, action) in OPERATIONS {
                for relation in Relation::ALL {
                    let possible = match (resource, action) {
                        // A new patient, and any account: one's own is no secret to oneself.
                        (ResourceKind::Patient, Action::Create)
                        | (ResourceKind::User, Action::List)
                        | (ResourceKind::AuditEvent, _) => relation == Relation::None,
                        (ResourceKind::User, _)
                        | (ResourceKind::EmergencyAccess, Action::List | Action::Review) => {
                            matches!(relation, Relation::Own | Relation::None)
                        }
                        _ => relation != Relation::Own || role == Role::Patient,
                    };
                    let cell = Self {
                        role,
                        resource,
                        action,
                        relation,
                    };
                    cells.extend(possible.then_some(cell));
                }
            }
        }
        cells
    }

    /// Whether it is about many objects: what one may not see is not among them then.
    fn on_many(self) -> bool {
        self.action == Action::Search
            || self.action == Action::List && self.resource != ResourceKind::CareTeam
    }

    fn permitted(self) -> bool {
        permits_for(self.role, self.resource, self.action, self.relation)
    }
}

/// A caller and the objects of one cell.
struct Case {
    cell: Cell,
    caller: Uuid,
    token: String,
    /// The patient whom it is about.
    patient: Uuid,
    record_number: String,
    /// Somebody in the patient's care team, and somebody who is not.
    member: Uuid,
    colleague: Uuid,
    /// An emergency access that waits for its review.
    emergency_access: Uuid,
    /// An account.
    user: Uuid,
    /// A row of the audit log.
    audit_event: Uuid,
}

impl Case {
    fn request(&self, clinic: &Clinic) -> RequestBuilder {
        let server = &clinic.server;
        let path = format!("/api/patients/{}", self.patient);
        let user = format!("/api/users/{}", self.user);
        let request = match (self.cell.resource, self.cell.action) {
            (ResourceKind::Patient, Action::Create) => server
                .post("/api/patients")
                .json(&patient(&Uuid::new_v4().to_string())),
            (ResourceKind::Patient, Action::Read) => server.get(&path),
            (ResourceKind::Patient, Action::Update) => {
                let mut body = patient(&self.record_number);
                if self.cell.role == Role::Receptionist {
                    body.as_object_mut().unwrap().remove("notes");
                }
                server.put(&path).header("if-match", "*").json(&body)
            }
            (ResourceKind::Patient, Action::List) => server.get("/api/patients?limit=100"),
            (ResourceKind::Patient, Action::Search) => server
                .post("/api/patients/search")
                .json(&json!({"recordNumber": self.record_number})),
            (ResourceKind::CareTeam, Action::List) => server.get(&format!("{path}/care-team")),
            (ResourceKind::CareTeam, Action::Create) => {
                server.put(&format!("{path}/care-team/{}", self.colleague))
            }
            (ResourceKind::CareTeam, Action::Delete) => {
                server.request(Method::DELETE, &format!("{path}/care-team/{}", self.member))
            }
            (ResourceKind::EmergencyAccess, Action::BreakGlass) => server
                .post(&format!("{path}/emergency-access"))
                .json(&json!({"reason": "unconscious in the emergency room"})),
            (ResourceKind::EmergencyAccess, Action::List) => server.get("/api/emergency-access"),
            (ResourceKind::EmergencyAccess, Action::Review) => server
                .post(&format!("/api/emergency-access/{}/review", self.emergency_access))
                .json(&json!({"verdict": "justified"})),
            (ResourceKind::AuditEvent, Action::List) => server.get("/api/audit-events"),
            (ResourceKind::AuditEvent, Action::Read) => {
                server.get(&format!("/fhir/AuditEvent/{}", self.audit_event))
            }
            (ResourceKind::User, Action::List) => server.get("/api/users?limit=100"),
            (ResourceKind::User, Action::Update) => server
                .put(&format!("{user}/role"))
                .json(&json!({"role": "receptionist"})),
            (ResourceKind::User, Action::Deactivate) => server.post(&format!("{user}/deactivation")),
            operation => panic!("{operation:?} is not known here"),
        };
        request.bearer_auth(&self.token)
    }

    fn request_by_fhir(&self, clinic: &Clinic) -> Option<RequestBuilder> {
        let operation = (self.cell.resource, self.cell.action);
        let path = match operation {
            (ResourceKind::Patient, Action::Read) => format!("/fhir/Patient/{}", self.patient),
            (ResourceKind::Patient, Action::List) => "/fhir/Patient?_count=100".to_owned(),
            (ResourceKind::Patient, Action::Search) => {
                format!("/fhir/Patient?identifier={}", self.record_number)
            }
            (ResourceKind::AuditEvent, Action::List) => "/fhir/AuditEvent".to_owned(),
            _ => return None,
        };
        assert!(ALSO_BY_FHIR.contains(&operation), "{operation:?} is not listed");
        Some(clinic.server.get(&path).bearer_auth(&self.token))
    }

    /// What a page has to hold to show the object.
    fn object(&self) -> Uuid {
        match self.cell.resource {
            ResourceKind::EmergencyAccess => self.emergency_access,
            ResourceKind::User => self.user,
            // The latest rows are about the caller's own requests.
            ResourceKind::AuditEvent => self.caller,
            _ => self.patient,
        }
    }

    /// A statement that does the operation and nothing else, as the serving role would.
    fn statement(&self) -> String {
        let Self {
            caller,
            patient,
            member,
            colleague,
            emergency_access,
            user,
            ..
        } = self;
        match (self.cell.resource, self.cell.action) {
            (ResourceKind::Patient, Action::Create) => format!(
                "INSERT INTO patient (id, kek_id, data_key, record_number_index, record_number, family_name,
                                      given_name, date_of_birth, created_by)
                 VALUES (gen_random_uuid(), decode(repeat('00', 16), 'hex'), '',
                         sha256(gen_random_uuid()::text::bytea), '', '', '', '', '{caller}')"
            ),
            (ResourceKind::Patient, Action::Read | Action::List | Action::Search) => {
                format!("SELECT FROM patient WHERE id = '{patient}'")
            }
            (ResourceKind::Patient, Action::Update) => {
                format!("UPDATE patient SET version = version + 1 WHERE id = '{patient}'")
            }
            (ResourceKind::CareTeam, Action::List) => {
                format!("SELECT FROM care_relation WHERE patient_id = '{patient}' AND user_id = '{member}'")
            }
            (ResourceKind::CareTeam, Action::Create) => {
                format!("INSERT INTO care_relation (user_id, patient_id) VALUES ('{colleague}', '{patient}')")
            }
            (ResourceKind::CareTeam, Action::Delete) => {
                format!("DELETE FROM care_relation WHERE patient_id = '{patient}' AND user_id = '{member}'")
            }
            (ResourceKind::EmergencyAccess, Action::BreakGlass) => format!(
                "INSERT INTO emergency_access (id, user_id, patient_id, kek_id, data_key, reason, expires_at)
                 VALUES (gen_random_uuid(), '{caller}', '{patient}', decode(repeat('00', 16), 'hex'), '', '',
                         now() + interval '15 minutes')"
            ),
            (ResourceKind::EmergencyAccess, Action::List) => {
                format!("SELECT FROM emergency_access WHERE id = '{emergency_access}'")
            }
            (ResourceKind::EmergencyAccess, Action::Review) => format!(
                "UPDATE emergency_access SET reviewed_by = '{caller}', reviewed_at = now(), verdict = 'justified'
                 WHERE id = '{emergency_access}'"
            ),
            (ResourceKind::AuditEvent, Action::List) => "SELECT FROM audit_event LIMIT 1".to_owned(),
            (ResourceKind::AuditEvent, Action::Read) => {
                format!("SELECT FROM audit_event WHERE id = '{}'", self.audit_event)
            }
            (ResourceKind::User, Action::List) => format!("SELECT FROM app_user WHERE id = '{user}'"),
            (ResourceKind::User, Action::Update) => {
                format!("UPDATE app_user SET access_role = 'receptionist' WHERE id = '{user}'")
            }
            (ResourceKind::User, Action::Deactivate) => {
                format!("UPDATE app_user SET active = false WHERE id = '{user}'")
            }
            operation => panic!("{operation:?} is not known here"),
        }
    }
}

/// For each role somebody, and for each relation a patient.
async fn cases(clinic: &Clinic) -> Vec<Case> {
    let member = clinic.employ("nurse").await.id;
    let colleague = clinic.employ("nurse").await.id;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let audit_event = sqlx::query_scalar("SELECT id FROM audit_event LIMIT 1")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    let mut cases = Vec::new();
    for role in Role::ALL {
        let mut patients = Vec::new();
        for relation in Relation::ALL {
            let record_number = format!("MRN-{}-{}", role.as_str(), relation.as_str());
            let admitted = clinic.admit(&record_number).await;
            let id: Uuid = admitted["id"].as_str().unwrap().parse().unwrap();
            clinic.put_in_care(member, id).await;
            patients.push((relation, id, record_number));
        }
        let caller: Person = if role == Role::Patient {
            clinic.open_account(patients[0].1).await
        } else {
            clinic.employ(role.as_str()).await
        };
        let stranger = clinic.employ("doctor").await.id;
        for (relation, patient, record_number) in patients {
            // Of any role: rows that an earlier role left behind must give nothing.
            match relation {
                Relation::Care => clinic.put_in_care(caller.id, patient).await,
                Relation::Emergency => {
                    clinic
                        .give_emergency_access(caller.id, patient, "15 minutes")
                        .await;
                }
                Relation::Own | Relation::None => {}
            }
            let other = if relation == Relation::Own {
                caller.id
            } else {
                stranger
            };
            let emergency_access = clinic.give_emergency_access(other, patient, "-15 minutes").await;
            let cells = Cell::all().into_iter();
            for cell in cells.filter(|cell| cell.role == role && cell.relation == relation) {
                cases.push(Case {
                    cell,
                    caller: caller.id,
                    token: caller.token.clone(),
                    patient,
                    record_number: record_number.clone(),
                    member,
                    colleague,
                    emergency_access,
                    user: other,
                    audit_event,
                });
            }
        }
    }
    cases
}

#[tokio::test]
async fn the_api_answers_every_cell_as_the_policy_table_says() {
    let clinic = Clinic::open().await;
    for case in cases(&clinic).await {
        let requests = [Some(case.request(&clinic)), case.request_by_fhir(&clinic)];
        for request in requests.into_iter().flatten() {
            check(&case, request.send().await.unwrap()).await;
        }
    }
}

async fn check(case: &Case, answer: Response) {
    let cell = case.cell;
    let status = answer.status();
    if !permits(cell.role, cell.resource, cell.action) {
        assert_eq!(status, StatusCode::FORBIDDEN, "{cell:?}");
    } else if cell.on_many() {
        assert_eq!(status, StatusCode::OK, "{cell:?}");
        let page: Value = answer.json().await.unwrap();
        assert_eq!(
            page.to_string().contains(&case.object().to_string()),
            cell.permitted(),
            "{cell:?}"
        );
    } else if cell.permitted() {
        assert!(status.is_success(), "{cell:?}: {status}");
    } else if cell.relation == Relation::Own {
        assert_eq!(status, StatusCode::FORBIDDEN, "{cell:?}");
        assert_eq!(problem(answer).await["code"], "another_person_needed", "{cell:?}");
    } else {
        assert_eq!(status, StatusCode::NOT_FOUND, "{cell:?}");
    }
}

/// Whether the statement reaches a row under row-level security; it leaves no trace.
async fn reaches(app: &mut PgConnection, case: &Case) -> bool {
    let mut transaction = app.begin().await.unwrap();
    sqlx::query("SELECT set_config('app.user_id', $1, true), set_config('app.role', $2, true)")
        .bind(case.caller.to_string())
        .bind(case.cell.role.as_str())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let result = sqlx::query(AssertSqlSafe(case.statement()))
        .execute(&mut *transaction)
        .await;
    let reached = match result {
        Ok(done) => done.rows_affected() > 0,
        Err(error) => {
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42501", "{:?}: {error}", case.cell);
            false
        }
    };
    transaction.rollback().await.unwrap();
    reached
}

#[tokio::test]
async fn row_level_security_alone_answers_every_cell_as_the_policy_table_says() {
    let clinic = Clinic::open().await;
    let mut app = clinic.deployment.connect("medical_app").await;
    for case in cases(&clinic).await {
        assert_eq!(
            reaches(&mut app, &case).await,
            case.cell.permitted(),
            "{:?}",
            case.cell
        );
    }
}

#[test]
fn the_matrix_knows_every_permission_and_every_operation_of_the_document() {
    let cells = Cell::all();
    for rule in TABLE {
        for action in rule.actions {
            let known = |cell: &Cell| {
                cell.role == rule.role && cell.resource == rule.resource && cell.action == *action
            };
            assert!(cells.iter().any(known), "{rule:?}");
        }
    }
    let document: Value = serde_json::from_str(&medical_app::http::openapi_document().unwrap()).unwrap();
    let operations = document["paths"].as_object().unwrap().values();
    let decided = operations
        .flat_map(|methods| methods.as_object().unwrap().values())
        .filter(|operation| TAGS.iter().any(|tag| operation["tags"][0] == *tag))
        .filter(|operation| operation["security"].is_array())
        .count();
    // By FHIR, a list of patients and a search among them are one operation.
    assert_eq!(decided, OPERATIONS.len() + ALSO_BY_FHIR.len() - 1);
}
