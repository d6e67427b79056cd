//! The operator as a process of its own, beside a control plane without nodes.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use medical_tests::{eventually, waiting::seconds};
use tokio::sync::{Mutex, MutexGuard};

/// An operator looks after every namespace, so that two tests with one each would disturb each other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits for its turn among the tests that start an operator.
pub async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

/// An operator; it ends with the test.
pub struct Operator {
    process: Child,
    admin: String,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Operator {
    /// Starts an operator that competes for `lease` and waits until it answers.
    pub async fn start(lease: &str) -> Self {
        let program =
            std::env::var("MEDOPS_TEST_OPERATOR").expect("MEDOPS_TEST_OPERATOR: run by `cargo xtask test`");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let admin = free.local_addr().expect("an address").to_string();
        drop(free);
        let process = Command::new(program)
            .args([
                "run",
                "--namespace",
                "default",
                "--lease",
                lease,
                "--admin-listen",
                &admin,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the operator starts");
        let operator = Self { process, admin };
        eventually("the operator answers", seconds(20), || async {
            operator.get("livez").await
        })
        .await;
        operator
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the admin port answers.
    ///
    /// # Errors
    /// When it does not answer with 200.
    pub async fn get(&self, page: &str) -> anyhow::Result<String> {
        let answer = reqwest::get(format!("http://{}/{page}", self.admin)).await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Value of a metric, named as in the exposition, labels included; 0 while it is not there.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.get("metrics").await?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Ok(value.unwrap_or(0.0))
    }
}
