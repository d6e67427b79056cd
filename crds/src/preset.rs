//! What an application needs by name, when the spec is silent.

use crate::spec::{Init, MedicalDeploymentSpec, Preset, Scheme};

/// The paths of an application's health endpoints; `None` means a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPaths {
    /// Answers once the application has started.
    pub startup: Option<&'static str>,
    /// Answers while the process works.
    pub liveness: Option<&'static str>,
    /// Answers while requests can be served.
    pub readiness: Option<&'static str>,
}

impl MedicalDeploymentSpec {
    /// The preset that holds: the one named, else `reference` without an image and `custom` with one.
    pub fn effective_preset(&self) -> Preset {
        self.preset.unwrap_or(if self.app.image.is_none() {
            Preset::Reference
        } else {
            Preset::Custom
        })
    }

    /// The port on which the application listens.
    pub fn effective_port(&self) -> i32 {
        self.app.port.unwrap_or(match self.effective_preset() {
            Preset::Reference => 8443,
            Preset::Custom => 8080,
        })
    }

    /// What the application speaks on its port.
    pub fn effective_scheme(&self) -> Scheme {
        self.app.scheme.unwrap_or(match self.effective_preset() {
            Preset::Reference => Scheme::Https,
            Preset::Custom => Scheme::Http,
        })
    }

    /// The port on which the application serves metrics, `None` when the operator knows of none.
    pub fn effective_metrics_port(&self) -> Option<i32> {
        match self.effective_preset() {
            Preset::Reference => Some(9090),
            Preset::Custom => None,
        }
    }

    /// The paths that the probes ask.
    pub fn effective_health_paths(&self) -> HealthPaths {
        match self.effective_preset() {
            Preset::Reference => HealthPaths {
                startup: Some("/startupz"),
                liveness: Some("/livez"),
                readiness: Some("/readyz"),
            },
            Preset::Custom => HealthPaths {
                startup: None,
                liveness: None,
                readiness: None,
            },
        }
    }

    /// The command that must succeed before new pods start.
    pub fn effective_init(&self) -> Option<Init> {
        self.app.init.clone().or_else(|| match self.effective_preset() {
            Preset::Reference => Some(Init {
                image: None,
                command: vec!["/usr/local/bin/medical-app".to_owned()],
                args: vec!["migrate".to_owned()],
                timeout_seconds: 600,
            }),
            Preset::Custom => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_ones_own_is_custom_unless_the_preset_says_otherwise() {
        let mut spec = MedicalDeploymentSpec::default();
        assert_eq!(spec.effective_preset(), Preset::Reference);
        assert_eq!(
            (spec.effective_port(), spec.effective_scheme()),
            (8443, Scheme::Https)
        );
        spec.app.image = Some("registry.example/app:1".to_owned());
        assert_eq!(spec.effective_preset(), Preset::Custom);
        assert_eq!(
            (spec.effective_port(), spec.effective_scheme()),
            (8080, Scheme::Http)
        );
        assert_eq!(spec.effective_init(), None);
        spec.preset = Some(Preset::Reference);
        assert_eq!(spec.effective_port(), 8443);
        assert!(spec.effective_init().is_some());
    }
}
