//! `spec.database`: PostgreSQL.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Resources, Storage};

/// The PostgreSQL database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// A database that the operator runs through CloudNativePG.
    #[serde(default)]
    pub managed: ManagedDatabase,
}

/// A database that the operator runs through CloudNativePG.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedDatabase {
    /// Number of PostgreSQL instances: one primary, the others standbys. Default: 1; production needs at least 2. (C-26)
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 9))]
    pub instances: i32,

    /// Operand image; its tag begins with the PostgreSQL major version. Default: the operator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^[a-z0-9]+([._/:@-]?[A-Za-z0-9_]+)*:[0-9]+[A-Za-z0-9._-]*(@sha256:[a-f0-9]{64})?$"
        )
    )]
    pub image: Option<String>,

    /// Volume of each instance. Default: 10Gi of the cluster's default StorageClass.
    #[serde(default = "ten_gibibytes")]
    pub storage: Storage,

    /// CPU and memory of each instance. Default: requests 100m and 256Mi, limits 1Gi of memory. (R-008)
    #[serde(default = "database_resources")]
    pub resources: Resources,

    /// PostgreSQL parameters, as in postgresql.conf. Those that CloudNativePG or the operator must set itself, and
    /// those that would write PHI into logs, are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-z][a-z0-9_.]{0,62}$') && size(self[k]) <= 1024)")
            .message("spec.database.managed.parameters: a parameter is named in lower case, as in postgresql.conf, with a value of at most 1024 characters"),
        validation = Rule::new("self.all(k, !(k in ['ssl', 'ssl_ca_file', 'ssl_cert_file', 'ssl_key_file', 'ssl_min_protocol_version', 'ssl_max_protocol_version', 'archive_mode', 'archive_command', 'listen_addresses', 'port', 'password_encryption', 'row_security', 'hba_file', 'ident_file', 'log_destination', 'logging_collector', 'primary_conninfo', 'restore_command', 'unix_socket_directories']))")
            .message("spec.database.managed.parameters must not set TLS, archiving, listening, logging or authentication parameters, because CloudNativePG or the operator sets them: remove the parameter"),
        validation = Rule::new("self.all(k, !k.startsWith('auto_explain.') && !(k in ['debug_print_parse', 'debug_print_plan', 'debug_print_rewritten', 'log_min_duration_sample', 'log_min_error_statement', 'log_min_messages', 'log_parameter_max_length', 'log_parameter_max_length_on_error', 'log_transaction_sample_rate']))")
            .message("spec.database.managed.parameters must not set what is logged of statements, because statements and their values hold PHI: remove the parameter; pg_stat_statements tells which statements are slow"),
        validation = Rule::new("!('log_statement' in self) || self['log_statement'] in ['none', 'ddl']")
            .message("spec.database.managed.parameters: log_statement must be 'none' or 'ddl', because the other values write PHI into the log"),
        validation = Rule::new("!('log_min_duration_statement' in self) || self['log_min_duration_statement'] == '-1'")
            .message("spec.database.managed.parameters: log_min_duration_statement must be '-1', because a logged statement shows PHI: use pg_stat_statements to find slow statements"),
    )]
    pub parameters: BTreeMap<String, String>,
}

impl Default for ManagedDatabase {
    fn default() -> Self {
        Self {
            instances: one(),
            image: None,
            storage: ten_gibibytes(),
            resources: database_resources(),
            parameters: BTreeMap::new(),
        }
    }
}

fn one() -> i32 {
    1
}

fn ten_gibibytes() -> Storage {
    Storage {
        size: "10Gi".into(),
        storage_class: None,
    }
}

fn database_resources() -> Resources {
    let mut resources = Resources::default();
    resources.requests.memory = Some("256Mi".into());
    resources.limits.memory = Some("1Gi".into());
    resources
}
