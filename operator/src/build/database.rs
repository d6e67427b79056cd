//! The CloudNativePG Cluster.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ResourceRequirements, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use medical_crds::{
    names::{APP_ROLE, BACKUP_ROLE, Component, DATABASE, OWNER_ROLE},
    spec::{MedicalDeploymentSpec, Preset},
};

use super::{Inputs, Lifetime, pod, quantities};
use crate::cnpg::{
    AffinityConfiguration, Bootstrap, Cluster, ClusterSpec, InitDb, LABEL_CLUSTER, LABEL_POD_ROLE,
    LocalObjectReference, ManagedConfiguration, POD_ROLE_INSTANCE, PostgresConfiguration, Role,
    StorageConfiguration,
};

/// Parameters that keep PHI out of the server's log. They win over `spec.database.managed.parameters`.
///
/// `CloudNativePG` logs in PostgreSQL's CSV format, which holds the DETAIL of an error whatever `log_error_verbosity`
/// says: "Failing row contains (…)" and "Key (…)=(…) already exists" show a patient's values, and the message itself
/// may ("invalid input syntax for type date: …"). So errors of statements go to the client, which knows what it
/// asked, and not to the log; `log` is the least level above them and keeps start, stop, checkpoints, replication,
/// refused logins (FATAL) and crashes (PANIC).
/// (R-223, <https://www.postgresql.org/docs/17/runtime-config-logging.html>)
pub const PROTECTIVE_PARAMETERS: [(&str, &str); 9] = [
    ("debug_print_parse", "off"),
    ("debug_print_plan", "off"),
    ("debug_print_rewritten", "off"),
    ("log_min_duration_sample", "-1"),
    ("log_min_error_statement", "panic"),
    ("log_min_messages", "log"),
    ("log_parameter_max_length", "0"),
    ("log_parameter_max_length_on_error", "0"),
    ("log_transaction_sample_rate", "0"),
];

const MAX_CONNECTIONS: &str = "max_connections";
/// `PostgreSQL`'s own default, written down because the pods' pools are sized by it.
const DEFAULT_MAX_CONNECTIONS: i32 = 100;
/// Connections left for `CloudNativePG`, the init Job, dumps and a person at a shell.
const RESERVED_CONNECTIONS: i32 = 20;

/// The Cluster.
pub fn build(inputs: &Inputs) -> Cluster {
    let managed = &inputs.deployment.spec.database.managed;
    let names = &inputs.names;
    let several = managed.instances > 1;
    let rights = rights_of_a_foreign_image(inputs);
    Cluster::new(
        inputs.metadata(names.cluster(), Component::Database, Lifetime::Data),
        ClusterSpec {
            instances: managed.instances,
            image_name: image(inputs),
            storage: StorageConfiguration {
                size: managed.storage.size.as_str().to_owned(),
                storage_class: managed.storage.storage_class.clone(),
                resize_in_use_volumes: true,
            },
            resources: Some(quantities::container(&managed.resources, None))
                .filter(|resources| *resources != ResourceRequirements::default()),
            bootstrap: Bootstrap {
                initdb: InitDb {
                    database: DATABASE.to_owned(),
                    owner: OWNER_ROLE.to_owned(),
                    secret: LocalObjectReference {
                        name: names.owner_secret(),
                    },
                    data_checksums: true,
                    encoding: "UTF8".to_owned(),
                    post_init_sql: rights.0,
                    post_init_application_sql: rights.1,
                },
            },
            managed: ManagedConfiguration {
                roles: vec![
                    role(APP_ROLE, names.app_role_secret()),
                    // A dump has to hold every row, whatever row-level security says.
                    Role {
                        bypassrls: true,
                        in_roles: vec!["pg_read_all_data".to_owned()],
                        ..role(BACKUP_ROLE, names.backup_role_secret())
                    },
                ],
            },
            enable_superuser_access: false,
            // The budget of a single instance would block the drain of its node for ever.
            enable_pdb: several,
            postgresql: PostgresConfiguration {
                parameters: parameters(&inputs.deployment.spec),
                pg_hba: host_rules(),
            },
            affinity: AffinityConfiguration {
                enable_pod_anti_affinity: true,
                // Required would leave a standby pending on a cluster with fewer nodes than instances.
                pod_anti_affinity_type: "preferred".to_owned(),
                topology_key: "kubernetes.io/hostname".to_owned(),
            },
            topology_spread_constraints: if several {
                vec![zones(&names.cluster())]
            } else {
                Vec::new()
            },
            seccomp_profile: pod::runtime_default(),
            primary_update_strategy: "unsupervised".to_owned(),
            // Pools hold their connections open and would make every planned restart last CloudNativePG's default
            // of 180 seconds, in which no new connection is accepted; a transaction here ends within seconds.
            smart_shutdown_timeout: 15,
        },
    )
}

/// The operand image, also of the pods that dump, so that `pg_dump` always matches the server.
pub(crate) fn image(inputs: &Inputs) -> String {
    let image = inputs.deployment.spec.database.managed.image.as_ref();
    image.unwrap_or(&inputs.settings.database_image).clone()
}

/// Statements for the server and for the database, by which the serving role of an unmodified image may read and write
/// the tables that its migrations make as the owner. The reference application's migrations grant each right
/// themselves. `CloudNativePG` gives the role its password and attributes afterwards.
fn rights_of_a_foreign_image(inputs: &Inputs) -> (Vec<String>, Vec<String>) {
    if inputs.deployment.spec.effective_preset() == Preset::Reference {
        return (Vec::new(), Vec::new());
    }
    let by_default = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER_ROLE} GRANT");
    (
        vec![format!("CREATE ROLE {APP_ROLE} NOLOGIN")],
        vec![
            format!("{by_default} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP_ROLE}"),
            format!("{by_default} USAGE, SELECT ON SEQUENCES TO {APP_ROLE}"),
            format!("{by_default} USAGE ON SCHEMAS TO {APP_ROLE}"),
        ],
    )
}

fn role(name: &str, secret: String) -> Role {
    Role {
        name: name.to_owned(),
        ensure: "present".to_owned(),
        login: true,
        bypassrls: false,
        inherit: true,
        in_roles: Vec::new(),
        connection_limit: -1,
        password_secret: LocalObjectReference { name: secret },
    }
}

/// Who may connect, in the order in which PostgreSQL asks. `CloudNativePG` puts its own rules for the local socket and
/// for replication by certificate before these and a rule that accepts everyone, even without TLS, after them; the
/// last two rules here make sure that it is never reached.
fn host_rules() -> Vec<String> {
    // A restore goes into a new, empty database beside the present one, as the owner.
    [("all", OWNER_ROLE), (DATABASE, APP_ROLE), (DATABASE, BACKUP_ROLE)]
        .iter()
        .map(|(database, role)| format!("hostssl {database} {role} all scram-sha-256"))
        .chain([
            "hostnossl all all all reject".to_owned(),
            "hostssl all all all reject".to_owned(),
        ])
        .collect()
}

fn parameters(spec: &MedicalDeploymentSpec) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut parameters = BTreeMap::from([
        (MAX_CONNECTIONS.to_owned(), DEFAULT_MAX_CONNECTIONS.to_string()),
        owned(("log_min_duration_statement", "-1")),
        owned(("log_statement", "none")),
    ]);
    parameters.extend(spec.database.managed.parameters.clone());
    parameters.extend(PROTECTIVE_PARAMETERS.map(owned));
    parameters
}

/// Connections that the pool of one pod may hold, so that all pods together, one more during a rollout included, stay
/// below `max_connections`. In steps, so that not every change of the number of pods rolls all of them.
pub(crate) fn connections_of_a_pod(spec: &MedicalDeploymentSpec) -> i32 {
    let max_connections = spec.database.managed.parameters.get(MAX_CONNECTIONS);
    let max_connections = max_connections
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(DEFAULT_MAX_CONNECTIONS);
    let pods = spec
        .autoscaling
        .as_ref()
        .map_or(spec.app.replicas, |autoscaling| autoscaling.max_replicas);
    let share = max_connections.saturating_sub(RESERVED_CONNECTIONS) / pods.saturating_add(1).max(1);
    [20, 10, 5].into_iter().find(|step| *step <= share).unwrap_or(2)
}

fn zones(cluster: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([
                (LABEL_CLUSTER.to_owned(), cluster.to_owned()),
                (LABEL_POD_ROLE.to_owned(), POD_ROLE_INSTANCE.to_owned()),
            ])),
            match_expressions: None,
        }),
        ..TopologySpreadConstraint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: serde_json::Value) -> MedicalDeploymentSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn all_pools_together_leave_connections_free() {
        for (pods, expected) in [(0, 20), (2, 20), (3, 20), (4, 10), (10, 5), (100, 2)] {
            let spec = spec(serde_json::json!({"app": {"replicas": pods}}));
            assert_eq!(connections_of_a_pod(&spec), expected, "{pods} pods");
        }
        let roomy = spec(serde_json::json!({
            "autoscaling": {"maxReplicas": 30},
            "database": {"managed": {"parameters": {"max_connections": "700"}}},
        }));
        assert_eq!(connections_of_a_pod(&roomy), 20);
    }

    #[test]
    fn no_parameter_of_the_user_opens_the_log_to_phi() {
        let spec = spec(serde_json::json!({"database": {"managed": {"parameters": {
            "log_min_messages": "debug5", "log_min_error_statement": "info", "work_mem": "8MB"}}}}));
        let parameters = parameters(&spec);
        assert_eq!(parameters["log_min_messages"], "log");
        assert_eq!(parameters["log_min_error_statement"], "panic");
        assert_eq!(parameters["work_mem"], "8MB");
    }

    #[test]
    fn the_rule_of_cloudnativepg_that_accepts_everyone_is_never_reached() {
        let rules = host_rules();
        assert_eq!(
            rules[rules.len() - 2..],
            ["hostnossl all all all reject", "hostssl all all all reject"]
        );
        // The owner reaches every database, for a restore beside the present one; the others reach theirs alone.
        let admitted: Vec<_> = rules[..rules.len() - 2]
            .iter()
            .map(|rule| rule.split(" medical_").next())
            .collect();
        assert_eq!(
            admitted,
            [Some("hostssl all"), Some("hostssl app"), Some("hostssl app")]
        );
    }
}
