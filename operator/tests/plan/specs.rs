//! The specs that the tests plan.

use serde_json::{Value, json};

/// Nothing declared: the reference application for development.
pub fn minimal() -> Value {
    json!({})
}

/// The reference application as it goes to production.
pub fn production() -> Value {
    json!({
        "environment": "production",
        "app": {
            "image": "registry.example/medops/medical-app:1.2.3",
            "replicas": 3,
            "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2Gi"}},
            "env": [{"name": "LOG_LEVEL", "value": "warn"}],
            "writablePaths": ["/var/cache/medical"],
        },
        "preset": "reference",
        "domain": {"primary": "clinic.example.org", "allowedOrigins": ["https://portal.example.org"]},
        "database": {"managed": {
            "instances": 3,
            "image": "registry.example/medops/postgresql:17.6",
            "storage": {"size": "100Gi", "storageClass": "encrypted"},
            "resources": {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}},
            "parameters": {"shared_buffers": "1GB", "max_connections": "200"},
        }},
        "backup": {"logical": {
            "timeZone": "Europe/Vienna",
            "tiers": {
                "hourly": {"schedule": "0 * * * *", "keep": 24},
                "daily": {"schedule": "0 2 * * *", "keep": 30},
                "weekly": {"schedule": "0 3 * * 0", "keep": 13},
                "monthly": {"schedule": "0 4 1 * *", "keep": 84},
            },
            "storage": {"size": "200Gi", "storageClass": "encrypted"},
        }},
        "network": {
            "ingressFrom": [{"namespaceLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}],
            "metricsFrom": [{
                "namespaceLabels": {"kubernetes.io/metadata.name": "monitoring"},
                "podLabels": {"app.kubernetes.io/name": "prometheus"},
            }],
            "egress": [{
                "purpose": "mail relay of the hospital",
                "cidr": "203.0.113.0/24",
                "ports": [{"port": 587}, {"port": 53, "protocol": "UDP"}],
            }],
        },
    })
}

/// An application of someone else's, with its own migrations and its own names for everything.
pub fn custom() -> Value {
    json!({
        "environment": "staging",
        "app": {
            "image": "registry.example/mediflow/api:2.0.1",
            "port": 8000,
            "command": ["uvicorn"],
            "args": ["main:app", "--host=0.0.0.0", "--port=8000"],
            "runAsUser": 1000,
            "env": [
                {"name": "DATABASE_URL", "deploymentValue": "databaseUrl"},
                {"name": "DB_USER", "deploymentValue": "databaseUser"},
                {"name": "DB_PASSWORD", "deploymentValue": "databasePassword"},
                {"name": "SECRET_KEY", "generatedSecret": "secret-key"},
                {"name": "SMTP_PASSWORD", "secretKeyRef": {"name": "smtp", "key": "password"}},
                {"name": "CORS_ORIGINS", "deploymentValue": "allowedOrigins"},
                {"name": "PORT", "deploymentValue": "port"},
                {"name": "EMPTY", "value": ""},
            ],
            "config": {"mountPath": "/etc/mediflow", "files": {"settings.toml": "workers = 4\n"}},
            "writablePaths": ["/app/uploads"],
            "probes": {"readiness": {"path": "/health"}, "startup": {"failureThreshold": 150}},
            "init": {"command": ["alembic"], "args": ["upgrade", "head"], "timeoutSeconds": 900},
        },
        "secrets": {"generate": [{"name": "secret-key", "format": "hex"}]},
    })
}

/// Scaled by load, without dumps.
pub fn autoscaled() -> Value {
    json!({
        "autoscaling": {"minReplicas": 2, "maxReplicas": 12, "targetMemoryPercent": 80, "scaleDownAfterSeconds": 120},
        "backup": {"logical": {"enabled": false}},
    })
}

/// Removed with everything that it holds.
pub fn deleted_with_its_data() -> Value {
    json!({"deletionPolicy": "Delete"})
}

/// All of them, by name.
pub fn all() -> [(&'static str, Value); 5] {
    [
        ("minimal", minimal()),
        ("production", production()),
        ("custom", custom()),
        ("autoscaled", autoscaled()),
        ("deleted_with_its_data", deleted_with_its_data()),
    ]
}
