//! One deployment for one test: a database, keys, certificates, and the program.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use medical_app::crypto::{KeyRing, Location, PhiVault};
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::authority::Authority;
use crate::cluster::{Cluster, PASSWORD};
use crate::second_factor;
use crate::waiting::until;

/// Password of every user in the tests.
pub(crate) const USER_PASSWORD: &str = "correct horse battery staple";

/// A database and everything that is mounted into a container.
pub(crate) struct Deployment {
    pub(crate) cluster: ClusterRef,
    pub(crate) database: String,
    pub(crate) directory: TempDir,
    pub(crate) authority: Authority,
    variables: BTreeMap<&'static str, String>,
}

/// The shared PostgreSQL or one of the test's own.
pub(crate) enum ClusterRef {
    Shared(&'static Cluster),
    Own(Cluster),
}

impl std::ops::Deref for ClusterRef {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        match self {
            Self::Shared(cluster) => cluster,
            Self::Own(cluster) => cluster,
        }
    }
}

impl Deployment {
    /// With a migrated database.
    pub(crate) async fn new() -> Self {
        let deployment = Self::unmigrated(ClusterRef::Shared(Cluster::shared().await)).await;
        let output = deployment.run_as_owner(&["migrate"], "");
        assert!(output.status.success(), "{output:?}");
        deployment
    }

    /// With an empty database.
    pub(crate) async fn unmigrated(cluster: ClusterRef) -> Self {
        let database = format!("t_{}", Uuid::new_v4().simple());
        let mut superuser = cluster.superuser("postgres").await;
        let statement = format!("CREATE DATABASE {database} OWNER medical_owner");
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut superuser)
            .await
            .unwrap();
        superuser.close().await.unwrap();

        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let path = |name: &str| directory.path().join(name);
        authority.identity().write(&path("tls.crt"), &path("tls.key"));
        std::fs::write(path("password"), format!("{PASSWORD}\n")).unwrap();
        std::fs::create_dir(path("keys")).unwrap();
        for name in ["phi-kek", "blind-index", "token-signing", "audit"] {
            write_random_key(&path("keys").join(name));
        }
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let variables = BTreeMap::from([
            ("ENVIRONMENT", "production".to_owned()),
            ("LOG_LEVEL", "trace".to_owned()),
            ("MEDICAL_LISTEN", "127.0.0.1:0".to_owned()),
            ("MEDICAL_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("PUBLIC_URL", "https://clinic.example.org".to_owned()),
            ("ALLOWED_ORIGINS", "https://app.example.org".to_owned()),
            ("DATABASE_HOST", "localhost".to_owned()),
            ("DATABASE_PORT", cluster.port.to_string()),
            ("DATABASE_NAME", database.clone()),
            ("DATABASE_USER", "medical_app".to_owned()),
            ("DATABASE_PASSWORD_FILE", text(path("password"))),
            ("DATABASE_CA_FILE", text(cluster.directory.join("ca.crt"))),
            ("TLS_CERT_FILE", text(path("tls.crt"))),
            ("TLS_KEY_FILE", text(path("tls.key"))),
            ("KEYS_DIRECTORY", text(path("keys"))),
            ("SHUTDOWN_GRACE_SECONDS", "8".to_owned()),
            // Tests are faster than people.
            (
                "RATE_LIMITS",
                "read.account=100000/60,read.address=100000/60,write.account=100000/60,write.address=100000/60"
                    .to_owned(),
            ),
            // Few, so that requests of different callers share them, and a loaded machine can open them in time.
            ("DATABASE_MAX_CONNECTIONS", "4".to_owned()),
        ]);
        Self {
            cluster,
            database,
            directory,
            authority,
            variables,
        }
    }

    /// Changes one environment variable; empty takes it away.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.variables.insert(name, value.to_owned());
    }

    /// The program with its environment, and nothing of ours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medical-app"));
        command.args(arguments).env_clear().envs(&self.variables);
        command
    }

    /// Runs a command of the program as the owner of the database, to its end.
    pub(crate) fn run_as_owner(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.env("DATABASE_USER", "medical_owner");
        run(command, input)
    }

    /// Makes a user and gives their id.
    pub(crate) fn create_user(&self, email: &str, role: &str) -> Uuid {
        self.create_account(email, &["--role", role])
    }

    /// Makes a user with these further arguments and gives their id.
    pub(crate) fn create_account(&self, email: &str, arguments: &[&str]) -> Uuid {
        let user = [
            "admin",
            "create-user",
            "--email",
            email,
            "--display-name",
            "Synthetic User",
        ];
        let output = self.run_as_owner(&[&user[..], arguments].concat(), &format!("{USER_PASSWORD}\n"));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    /// A connection to the deployment's database.
    pub(crate) async fn connect(&self, role: &str) -> PgConnection {
        PgConnection::connect_with(&self.cluster.options(role, PASSWORD, &self.database))
            .await
            .unwrap()
    }

    /// Starts the server.
    pub(crate) async fn serve(&self) -> Server {
        Server::start(self).await
    }

    /// A client that trusts the deployment's authority only.
    pub(crate) fn client(&self) -> Client {
        self.client_builder().build().unwrap()
    }

    /// The same, to be changed.
    pub(crate) fn client_builder(&self) -> ClientBuilder {
        install_provider();
        let authority = Certificate::from_pem(self.authority.certificate().as_bytes()).unwrap();
        Client::builder().tls_certs_only([authority])
    }
}

pub(crate) fn write_random_key(path: &std::path::Path) {
    let bytes = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    std::fs::write(path, URL_SAFE_NO_PAD.encode(bytes)).unwrap();
}

pub(crate) fn install_provider() {
    // An error means that another test was first.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone by now.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

/// The running program.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) metrics_address: SocketAddr,
    pub(crate) client: Client,
    /// Unused recovery codes of the users with a second factor, by address.
    recovery_codes: Mutex<BTreeMap<String, Vec<String>>>,
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Server {
    async fn start(deployment: &Deployment) -> Self {
        let mut command = deployment.command(&["serve"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), output.clone());
        collect(child.stderr.take().unwrap(), output.clone());
        let address = async |listener: &str| {
            until("the server's listener", async || {
                let output = output.lock().unwrap();
                let line = output
                    .lines()
                    .find(|line| line.contains(&format!(r#""listener":"{listener}""#)))?;
                let line: Value = serde_json::from_str(line).unwrap();
                line["address"].as_str().unwrap().parse::<SocketAddr>().ok()
            })
            .await
        };
        let (address, metrics_address) = (address("api").await, address("metrics").await);
        let server = Self {
            address,
            metrics_address,
            client: deployment.client(),
            recovery_codes: Mutex::default(),
            child,
            output,
        };
        until("readiness", async || {
            let answer = server.get("/readyz").send().await.ok()?;
            let status = answer.status();
            // A test of what keeps it from being ready waits for that.
            (status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
        })
        .await;
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// Logs in, with a second factor where the role needs one: it is enrolled at the first login.
    pub(crate) async fn login(&self, email: &str) -> String {
        let code = self
            .recovery_codes
            .lock()
            .unwrap()
            .get_mut(email)
            .and_then(Vec::pop);
        let mut body = json!({"email": email, "password": USER_PASSWORD});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        let answer = self.post("/api/auth/login").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body: Value = answer.json().await.unwrap();
        let token = body["access_token"].as_str().unwrap().to_owned();
        if body["second_factor"] == "enrolment_required" {
            let (_, codes) = second_factor::enrol(self, &token).await;
            self.recovery_codes
                .lock()
                .unwrap()
                .insert(email.to_owned(), codes);
        }
        token
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.metrics_address);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Everything that was written to stdout and stderr so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the program and gives its exit status.
    pub(crate) async fn ended(&mut self) -> i32 {
        until("the end of the server", async || {
            self.child
                .try_wait()
                .unwrap()
                .map(|status| status.code().unwrap_or(-1))
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Shown by the test harness with the failure.
            println!("output of the server:\n{}", self.output());
        }
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(stream: impl std::io::Read + Send + 'static, output: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    });
}

/// A deployment with a running server and one doctor, for the many tests that need no more.
pub(crate) struct Clinic {
    pub(crate) deployment: Deployment,
    pub(crate) server: Server,
    pub(crate) doctor: Uuid,
    pub(crate) token: String,
}

/// Somebody with an account.
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) token: String,
}

impl Clinic {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With some environment variables changed.
    pub(crate) async fn open_with(variables: &[(&'static str, &str)]) -> Self {
        let mut deployment = Deployment::new().await;
        for (name, value) in variables {
            deployment.set(name, value);
        }
        let doctor = deployment.create_user("ada@clinic.example.org", "doctor");
        let server = deployment.serve().await;
        let token = server.login("ada@clinic.example.org").await;
        Self {
            deployment,
            server,
            doctor,
            token,
        }
    }

    /// Somebody new of this role, logged in.
    pub(crate) async fn employ(&self, role: &str) -> Person {
        let email = format!("{role}-{}@clinic.example.org", Uuid::new_v4().simple());
        let id = self.deployment.create_user(&email, role);
        let token = self.server.login(&email).await;
        Person { id, token }
    }

    /// A patient's account, logged in.
    pub(crate) async fn open_account(&self, patient: Uuid) -> Person {
        let email = format!("patient-{}@clinic.example.org", patient.simple());
        let patient = patient.to_string();
        let id = self
            .deployment
            .create_account(&email, &["--role", "patient", "--patient", &patient]);
        let token = self.server.login(&email).await;
        Person { id, token }
    }

    /// Makes somebody care for a patient, without asking anybody.
    pub(crate) async fn put_in_care(&self, user: Uuid, patient: Uuid) {
        let mut superuser = self.deployment.connect("postgres").await;
        sqlx::query("INSERT INTO care_relation (user_id, patient_id) VALUES ($1, $2)")
            .bind(user)
            .bind(patient)
            .execute(&mut superuser)
            .await
            .unwrap();
    }

    /// An emergency access that ends so far from now, without asking anybody; gives its id.
    pub(crate) async fn give_emergency_access(&self, user: Uuid, patient: Uuid, ends_in: &str) -> Uuid {
        let keys = KeyRing::load(&self.deployment.directory.path().join("keys")).unwrap();
        let id = Uuid::now_v7();
        let (key, wrapped) = PhiVault::new(&keys).new_data_key(id).await.unwrap();
        let place = Location {
            table: "emergency_access",
            column: "reason",
            row: id,
        };
        let mut superuser = self.deployment.connect("postgres").await;
        sqlx::query(
            "INSERT INTO emergency_access
                 (id, user_id, patient_id, kek_id, data_key, reason, granted_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, now() - interval '30 minutes', now() + $7::interval)",
        )
        .bind(id)
        .bind(user)
        .bind(patient)
        .bind(&wrapped.kek_id[..])
        .bind(wrapped.sealed)
        .bind(key.seal(&place, "unconscious in the emergency room").unwrap())
        .bind(ends_in)
        .execute(&mut superuser)
        .await
        .unwrap();
        id
    }

    /// Admits a patient as the doctor and gives the answer's body.
    pub(crate) async fn admit(&self, record_number: &str) -> Value {
        let answer = self
            .server
            .post("/api/patients")
            .bearer_auth(&self.token)
            .json(&patient(record_number))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json().await.unwrap()
    }
}

/// A valid body.
pub(crate) fn patient(record_number: &str) -> Value {
    json!({
        "recordNumber": record_number,
        "familyName": "Nguyễn",
        "givenName": "José",
        "dateOfBirth": "1980-02-29",
        "notes": "first line\nsecond line",
    })
}

/// The body of a problem, with what every problem has checked.
pub(crate) async fn problem(answer: reqwest::Response) -> Value {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], request_id);
    let code = problem["code"].as_str().unwrap();
    assert_eq!(problem["type"], format!("https://medops.dev/problems/{code}"));
    problem
}
