//! Rules that CEL cannot say, run by the operator at every reconcile together with the CEL rules themselves.

use std::{collections::BTreeSet, net::IpAddr, str::FromStr};

use jiff::{Timestamp, tz::TimeZone};

use crate::{MedicalDeployment, quantity::Quantity, schedule::Schedule, spec::MedicalDeploymentSpec};

/// A rule that a resource breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `spec.backup.logical.timeZone`.
    pub field: String,
    /// What is wrong and what to write instead. Never holds the field's value.
    pub remedy: String,
}

impl Violation {
    fn new(field: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            remedy: remedy.into(),
        }
    }
}

/// Everything that is wrong with a resource, the CEL rules of its schema included, in a stable order.
///
/// The API server runs the CEL rules too; they run again here because a resource may be older than its rules.
pub fn violations(deployment: &MedicalDeployment) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Err(errors) = deployment.validate_cel() {
        found.extend(
            errors
                .iter()
                .map(|error| Violation::new(error.field_path.clone(), error.message.clone())),
        );
    }
    let spec = &deployment.spec;
    schedules(spec, &mut found);
    networks(spec, &mut found);
    quantities(spec, &mut found);
    environment(spec, &mut found);
    found
}

fn schedules(spec: &MedicalDeploymentSpec, found: &mut Vec<Violation>) {
    let logical = &spec.backup.logical;
    if TimeZone::get(&logical.time_zone).is_err() {
        found.push(Violation::new(
            "spec.backup.logical.timeZone",
            "is not a known IANA time zone: write one such as Europe/Vienna or Etc/UTC",
        ));
    }
    let tiers = logical
        .tiers
        .named()
        .map(|(name, tier)| (format!("tiers.{name}"), &tier.schedule));
    for (group, schedule) in tiers.chain([("verify".to_owned(), &logical.verify.schedule)]) {
        let next = Schedule::parse(schedule, &TimeZone::UTC)
            .and_then(|schedule| schedule.next_after(Timestamp::UNIX_EPOCH));
        if next.is_none() {
            found.push(Violation::new(
                format!("spec.backup.logical.{group}.schedule"),
                "is not a cron expression of five fields that ever comes due: write minute, hour, day of month, month and day of week, such as '0 2 * * *'",
            ));
        }
    }
}

fn networks(spec: &MedicalDeploymentSpec, found: &mut Vec<Violation>) {
    for (index, rule) in spec
        .network
        .iter()
        .flat_map(|network| &network.egress)
        .enumerate()
    {
        if !is_cidr(&rule.cidr) {
            found.push(Violation::new(
                format!("spec.network.egress[{index}].cidr"),
                "is not a network in CIDR notation: write an address and a prefix length, such as 203.0.113.0/24",
            ));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, prefix)| {
        let widest = match IpAddr::from_str(address) {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        prefix.parse::<u8>().is_ok_and(|length| length <= widest)
    })
}

fn quantities(spec: &MedicalDeploymentSpec, found: &mut Vec<Violation>) {
    let database = &spec.database.managed;
    let logical = &spec.backup.logical;
    let sizes = [
        ("spec.database.managed.storage.size", &database.storage.size),
        ("spec.backup.logical.storage.size", &logical.storage.size),
    ];
    for (field, size) in sizes {
        // PostgreSQL's initial files and write-ahead log need more than half a gibibyte.
        let least = Quantity::from("512Mi");
        if size
            .milli()
            .is_none_or(|value| value < least.milli().unwrap_or(0))
        {
            found.push(Violation::new(field, "must be a quantity of at least 512Mi"));
        }
    }
    for (field, resources) in [
        ("spec.app.resources", &spec.app.resources),
        ("spec.database.managed.resources", &database.resources),
    ] {
        for (kind, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            for (name, amount) in [("cpu", &amounts.cpu), ("memory", &amounts.memory)] {
                if amount
                    .as_ref()
                    .is_some_and(|amount| amount.milli().is_none_or(|value| value == 0))
                {
                    found.push(Violation::new(
                        format!("{field}.{kind}.{name}"),
                        "must be a quantity above zero, such as 100m or 256Mi",
                    ));
                }
            }
        }
    }
}

fn environment(spec: &MedicalDeploymentSpec, found: &mut Vec<Violation>) {
    let generated: BTreeSet<&str> = spec
        .secrets
        .iter()
        .flat_map(|secrets| &secrets.generate)
        .map(|secret| secret.name.as_str())
        .collect();
    for (index, variable) in spec.app.env.iter().enumerate() {
        if let Some(name) = &variable.generated_secret
            && !generated.contains(name.as_str())
        {
            found.push(Violation::new(
                format!("spec.app.env[{index}].generatedSecret"),
                "names no entry of spec.secrets.generate: add one of that name",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(spec: serde_json::Value) -> MedicalDeployment {
        MedicalDeployment::new("clinic", serde_json::from_value(spec).unwrap())
    }

    fn fields(spec: serde_json::Value) -> Vec<String> {
        violations(&deployment(spec))
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    #[test]
    fn an_empty_spec_breaks_no_rule() {
        assert_eq!(violations(&deployment(serde_json::json!({}))), []);
    }

    #[test]
    fn an_unknown_time_zone_is_named() {
        assert_eq!(
            fields(serde_json::json!({"backup": {"logical": {"timeZone": "Mars/Olympus"}}})),
            ["spec.backup.logical.timeZone"]
        );
    }

    #[test]
    fn a_schedule_that_never_parses_is_named_with_its_tier() {
        assert_eq!(
            fields(
                serde_json::json!({"backup": {"logical": {"tiers": {"weekly": {"schedule": "0 99 * * *", "keep": 3}}}}})
            ),
            ["spec.backup.logical.tiers.weekly.schedule"]
        );
    }

    #[test]
    fn a_network_that_is_none_is_named_by_its_index() {
        let spec = serde_json::json!({"network": {"egress": [
            {"purpose": "mail", "cidr": "203.0.113.0/24", "ports": [{"port": 587}]},
            {"purpose": "mail", "cidr": "203.0.113.0/33", "ports": [{"port": 587}]},
        ]}});
        assert_eq!(fields(spec), ["spec.network.egress[1].cidr"]);
    }

    #[test]
    fn an_environment_variable_cannot_name_a_secret_that_is_not_generated() {
        let spec =
            serde_json::json!({"app": {"env": [{"name": "SECRET_KEY", "generatedSecret": "secret-key"}]}});
        assert_eq!(fields(spec), ["spec.app.env[0].generatedSecret"]);
    }

    #[test]
    fn a_volume_too_small_for_postgresql_is_refused() {
        assert_eq!(
            fields(serde_json::json!({"database": {"managed": {"storage": {"size": "1Mi"}}}})),
            ["spec.database.managed.storage.size"]
        );
    }
}
