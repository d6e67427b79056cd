//! `status`: how a deployment is.

use anyhow::Context;
use kube::{Api, Client};
use medical_crds::{MedicalDeployment, status::ChildState};

use crate::table::aligned;

pub(crate) async fn print(name: &str, namespace: Option<String>) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no cluster: set KUBECONFIG")?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let deployment = Api::<MedicalDeployment>::namespaced(client, &namespace)
        .get_opt(name)
        .await?
        .with_context(|| {
            format!("there is no MedicalDeployment {name} in {namespace}: try `kubectl get md -A`")
        })?;
    print!("{}", describe(&deployment));
    Ok(())
}

fn describe(deployment: &MedicalDeployment) -> String {
    let Some(status) = &deployment.status else {
        return "The operator has not looked at this resource yet. Does it run? `kubectl get pods -A -l app.kubernetes.io/name=medical-operator`\n".to_owned();
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let stale = status.observed_generation != deployment.metadata.generation;
    let mut output = String::new();
    if stale {
        output.push_str("This status describes an earlier version of the resource.\n\n");
    }
    let endpoints = status.endpoints.clone().unwrap_or_default();
    let database = status
        .database
        .as_ref()
        .map(|database| database.instances_ready.clone());
    let backup = status
        .backup
        .as_ref()
        .and_then(|backup| backup.last_success_time.as_ref());
    output.push_str(&aligned(&[
        vec![
            "Phase".to_owned(),
            status
                .phase
                .map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}")),
        ],
        vec!["URL".to_owned(), text(&endpoints.url)],
        vec!["Pods".to_owned(), text(&status.replicas_ready)],
        vec!["Database".to_owned(), text(&database)],
        vec![
            "Last backup".to_owned(),
            backup.map_or_else(|| "none yet".to_owned(), |time| time.0.to_string()),
        ],
    ]));
    let mut rows = vec![
        ["\nCONDITION", "STATUS", "REASON", "MESSAGE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(status.conditions.iter().map(|condition| {
        vec![
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            condition.message.clone(),
        ]
    }));
    output.push_str(&aligned(&rows));
    let mut rows = vec![
        ["\nCHILD", "NAME", "STATE", "MESSAGE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(status.children.iter().map(|child| {
        let word = match child.state {
            ChildState::Ready => "ready",
            ChildState::Progressing => "progressing",
            ChildState::Failed => "failed",
            ChildState::Missing => "missing",
        };
        vec![
            child.kind.clone(),
            child.name.clone(),
            word.to_owned(),
            child.message.clone().unwrap_or_default(),
        ]
    }));
    output.push_str(&aligned(&rows));
    output
}
