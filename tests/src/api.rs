//! The deployed application, as an API client sees it: over its Service, with verified TLS.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use reqwest::{Certificate, Client, Method, Response};
use serde_json::{Value, json};

use crate::{Lab, commands::kubectl_medical};

/// The password of every user that tests create.
pub const PASSWORD: &str = "correct horse battery staple 42";

/// A client of one deployment's API.
#[derive(Clone)]
pub struct ApiClient {
    http: Client,
    base: String,
    token: Option<String>,
}

impl ApiClient {
    /// Logs in to a deployment as a clinician of its own.
    ///
    /// # Panics
    /// When the Service cannot be reached over verified TLS, or the login is refused.
    pub async fn of_clinician(lab: &Lab, name: &str) -> Self {
        let api = Self::connect(lab, name)
            .await
            .expect("a Service with verified TLS");
        api.as_clinician(lab, name, "doctor@clinic.example")
            .await
            .expect("logged in")
    }

    /// Connects to the Service of deployment `name`, trusting its own certificate authority and nothing else.
    ///
    /// # Errors
    /// When the Service or the authority is not there.
    pub async fn connect(lab: &Lab, name: &str) -> anyhow::Result<Self> {
        let service = lab.api::<Service>().get(name).await?;
        let ip = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("no cluster IP")?;
        let secret = lab.api::<Secret>().get(&format!("{name}-tls")).await?;
        let authority = secret
            .data
            .and_then(|mut data| data.remove("ca.crt"))
            .context("no ca.crt")?;
        let host = format!("{name}.{}.svc", lab.namespace);
        let http = Client::builder()
            .tls_certs_only([Certificate::from_pem(&authority.0)?])
            .resolve(&host, SocketAddr::new(ip.parse()?, 443))
            .timeout(std::time::Duration::from_secs(10))
            .build()?;
        Ok(Self {
            http,
            base: format!("https://{host}"),
            token: None,
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Ok(request.send().await?)
    }

    /// Creates a clinician and logs in.
    ///
    /// # Errors
    /// When either fails.
    pub async fn as_clinician(mut self, lab: &Lab, name: &str, email: &str) -> anyhow::Result<Self> {
        let arguments = [
            "create-user",
            name,
            "-n",
            &lab.namespace,
            "--email",
            email,
            "--role",
            "clinician",
            "--if-absent",
        ];
        kubectl_medical(&arguments, PASSWORD)?;
        let credentials = json!({"email": email, "password": PASSWORD});
        let answer = self
            .send(Method::POST, "/api/auth/login", Some(credentials))
            .await?;
        ensure!(answer.status() == 200, "login: {}", answer.status());
        let body: Value = answer.json().await?;
        self.token = Some(
            body["access_token"]
                .as_str()
                .context("no access token")?
                .to_owned(),
        );
        Ok(self)
    }

    /// Creates a patient and returns their id.
    ///
    /// # Errors
    /// When the application refuses.
    pub async fn create_patient(&self, patient: &Value) -> anyhow::Result<String> {
        let answer = self
            .send(Method::POST, "/api/patients", Some(patient.clone()))
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(status == 201, "create: {status}: {body}");
        Ok(body["id"].as_str().context("no id")?.to_owned())
    }

    /// Reads a patient.
    ///
    /// # Errors
    /// When the application refuses.
    pub async fn patient(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self
            .send(Method::GET, &format!("/api/patients/{id}"), None)
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(status == 200, "read: {status}: {body}");
        Ok(body)
    }
}

/// Names that must be found nowhere but in an answer of the API.
pub mod planted {
    /// Family name.
    pub const FAMILY_NAME: &str = "Zauberbergquist";
    /// Notes.
    pub const NOTES: &str = "Allergic to quixotic penicillin";
    /// Record number.
    pub const RECORD_NUMBER: &str = "MRN-77001234";
}

/// A patient with planted names.
pub fn planted_patient() -> Value {
    json!({
        "recordNumber": planted::RECORD_NUMBER,
        "familyName": planted::FAMILY_NAME,
        "givenName": "Ottoline",
        "dateOfBirth": "1975-04-30",
        "notes": planted::NOTES,
    })
}

/// Runs SQL in the primary of a deployment's database, as PostgreSQL's superuser over the local socket.
///
/// # Errors
/// When there is no primary or the statement fails.
pub async fn sql(lab: &Lab, name: &str, statement: &str) -> anyhow::Result<String> {
    let deployment = lab.get(name).await?;
    let primary = deployment
        .status
        .and_then(|status| status.database)
        .and_then(|database| database.primary)
        .context("no primary yet")?;
    crate::commands::kubectl(&[
        "-n",
        &lab.namespace,
        "exec",
        &primary,
        "-c",
        "postgres",
        "--",
        "psql",
        "-qAtX",
        "-d",
        "app",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        statement,
    ])
}
