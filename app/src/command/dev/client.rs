//! A client of the running API.

use std::time::Duration;

use reqwest::{Certificate, Method, StatusCode};
use serde_json::{Value, json};

use super::directory::Directory;
use super::people::User;
use crate::{Failure, failed};

/// Longest time until the server is ready.
const LONGEST_START: Duration = Duration::from_mins(1);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Trusts this run's authority only.
pub struct Client {
    client: reqwest::Client,
    origin: String,
}

impl Client {
    pub fn new(directory: &Directory, port: u16) -> Result<Self, Failure> {
        // There is one already when it fails.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let authority = std::fs::read(directory.authority()).map_err(failed)?;
        let authority = Certificate::from_pem(&authority).map_err(failed)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()
            .map_err(failed)?;
        Ok(Self {
            client,
            origin: format!("https://localhost:{port}"),
        })
    }

    /// Waits until the server says that it is ready.
    pub async fn until_ready(&self) -> Result<(), Failure> {
        let ready = async {
            loop {
                let answer = self.client.get(format!("{}/readyz", self.origin)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LONGEST_START, ready)
            .await
            .map_err(|_| failed("the server is not ready after a minute; LOG_LEVEL=info tells more"))
    }

    /// Logs in and gives the access token.
    pub async fn login(&self, user: &User) -> Result<String, Failure> {
        let body = json!({"email": user.email, "password": user.password.as_str()});
        let answer = self
            .send(Method::POST, "/api/auth/login", None, Some(body), StatusCode::OK)
            .await?;
        text(&answer, "access_token")
    }

    /// Sends a request and gives the body of an answer of the expected status.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
        expected: StatusCode,
    ) -> Result<Value, Failure> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.origin));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if status != expected {
            return Err(failed(format!(
                "{method} {path}: the answer is {status} and not {expected}"
            )));
        }
        let body = answer.bytes().await.map_err(failed)?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(failed)
    }
}

/// A member of an answer that is a text.
pub fn text(answer: &Value, member: &str) -> Result<String, Failure> {
    answer[member]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| failed(format!("an answer lacks {member}")))
}
