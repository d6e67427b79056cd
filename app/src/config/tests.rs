use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;

use super::*;

/// A complete configuration below a directory.
struct Fixture {
    directory: TempDir,
    values: BTreeMap<&'static str, String>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(path("tls.crt"), identity.cert.pem()).unwrap();
        std::fs::write(path("tls.key"), identity.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("ca.crt"), identity.cert.pem()).unwrap();
        std::fs::write(path("password"), "Xo7-generated-and-long-enough\n").unwrap();
        std::fs::create_dir(path("keys")).unwrap();
        for name in ["phi-kek", "blind-index", "token-signing", "audit"] {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).unwrap();
            std::fs::write(path("keys").join(name), URL_SAFE_NO_PAD.encode(bytes)).unwrap();
        }
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let values = BTreeMap::from([
            ("DATABASE_HOST", "db.example.org".to_owned()),
            ("DATABASE_USER", "medical_app".to_owned()),
            ("DATABASE_PASSWORD_FILE", text(&path("password"))),
            ("DATABASE_CA_FILE", text(&path("ca.crt"))),
            ("TLS_CERT_FILE", text(&path("tls.crt"))),
            ("TLS_KEY_FILE", text(&path("tls.key"))),
            ("KEYS_DIRECTORY", text(&path("keys"))),
        ]);
        Self { directory, values }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.values.insert(name, value.to_owned());
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.directory.path().join(name), content).unwrap();
        self
    }

    fn read(&self) -> Result<Settings, Faults> {
        Settings::read(&Source::from_lookup(|name| self.values.get(name).cloned()))
    }

    /// Names of the variables with faults.
    fn faulty(&self) -> Vec<&'static str> {
        self.read()
            .err()
            .map(|faults| faults.iter().map(|fault| fault.variable).collect())
            .unwrap_or_default()
    }
}

#[test]
fn a_complete_configuration_is_accepted_with_its_documented_defaults() {
    let settings = Fixture::new().read().unwrap();
    assert_eq!(settings.environment, Environment::Production);
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:8443");
    assert_eq!(settings.server.metrics_listen.to_string(), "0.0.0.0:9090");
    assert_eq!(settings.server.shutdown_grace.as_secs(), 20);
    assert_eq!(
        (settings.database.port, settings.database.max_connections),
        (5432, 20)
    );
    assert_eq!(settings.auth.access_token_lifetime.as_secs(), 900);
    assert_eq!(settings.auth.session.idle.as_secs(), 1800);
    assert_eq!(settings.auth.session.absolute.as_secs(), 8 * 3600);
    assert!(settings.telemetry.json);
}

#[test]
fn an_empty_environment_is_refused_with_every_required_variable_named_at_once() {
    let faults = Settings::read(&Source::from_lookup(|_| None)).unwrap_err();
    let named: Vec<_> = faults.iter().map(|fault| fault.variable).collect();
    let required: Vec<_> = variables::ALL
        .iter()
        .filter(|variable| variable.default.is_none())
        .map(|v| v.name)
        .collect();
    for name in &required {
        assert!(named.contains(name), "{name} is missing in {named:?}");
    }
    assert_eq!(named.len(), required.len());
    for fault in faults.iter() {
        assert!(!fault.remedy.is_empty());
    }
}

#[test]
fn faults_of_every_concern_are_listed_together_and_none_shows_a_value() {
    let fixture = Fixture::new()
        .with("ENVIRONMENT", "planted-value")
        .with("LOG_LEVEL", "planted-value")
        .with("MEDICAL_LISTEN", "planted-value")
        .with("PUBLIC_URL", "http://planted-value")
        .with("ALLOWED_ORIGINS", "https://planted-value/path,*")
        .with("DATABASE_PORT", "planted-value")
        .with("DATABASE_TLS", "planted-value")
        .with("ACCESS_TOKEN_MINUTES", "61")
        .with("SESSION_IDLE_MINUTES", "0")
        .with("SESSION_MAX_HOURS", "169")
        .with("SHUTDOWN_GRACE_SECONDS", "0")
        .with("DATABASE_MAX_CONNECTIONS", "-1")
        .with("RATE_LIMITS", "planted-value=1/1")
        .with("REQUESTS_IN_FLIGHT", "0")
        .with("TRUSTED_PROXIES", "planted-value")
        .with("TRUSTED_PROXY_HEADER", "planted-value")
        .with("CLIENT_CA_FILE", "/planted-value")
        .file("tls.key", "planted-value")
        .file("keys/audit", "planted-value")
        .file("password", "planted-value-changeme");
    let text = fixture.read().unwrap_err().to_string();
    for name in [
        "ENVIRONMENT",
        "LOG_LEVEL",
        "MEDICAL_LISTEN",
        "PUBLIC_URL",
        "ALLOWED_ORIGINS",
        "DATABASE_PORT",
        "DATABASE_TLS",
        "ACCESS_TOKEN_MINUTES",
        "SESSION_IDLE_MINUTES",
        "SESSION_MAX_HOURS",
        "SHUTDOWN_GRACE_SECONDS",
        "DATABASE_MAX_CONNECTIONS",
        "RATE_LIMITS",
        "REQUESTS_IN_FLIGHT",
        "TRUSTED_PROXIES",
        "TRUSTED_PROXY_HEADER",
        "CLIENT_CA_FILE",
        "TLS_KEY_FILE",
        "KEYS_DIRECTORY",
        "DATABASE_PASSWORD_FILE",
    ] {
        assert!(
            text.contains(&format!("\n  {name}: ")),
            "{name} is missing in: {text}"
        );
    }
    assert!(!text.contains("planted-value"), "{text}");
}

#[test]
fn weak_or_placeholder_secrets_are_faults_outside_development() {
    for password in ["short", "changeme-changeme-changeme", "my-Password-1234567890"] {
        let fixture = Fixture::new().file("password", password);
        assert_eq!(fixture.faulty(), ["DATABASE_PASSWORD_FILE"], "{password}");
        assert!(fixture.with("ENVIRONMENT", "development").faulty().is_empty());
    }
    assert_eq!(
        Fixture::new().file("password", "\n").faulty(),
        ["DATABASE_PASSWORD_FILE"]
    );
    let zeros = URL_SAFE_NO_PAD.encode([0; 32]);
    for environment in ["production", "development"] {
        let fixture = Fixture::new()
            .with("ENVIRONMENT", environment)
            .file("keys/phi-kek", &zeros);
        assert_eq!(fixture.faulty(), ["KEYS_DIRECTORY"]);
    }
}

#[test]
fn nobody_is_a_trusted_proxy_unless_named_and_never_everybody() {
    assert!(Fixture::new().read().unwrap().limits.proxies.networks.is_empty());
    let some = Fixture::new().with("TRUSTED_PROXIES", "10.0.0.0/8, fd00::/64");
    assert_eq!(some.read().unwrap().limits.proxies.networks.len(), 2);
    for networks in [
        "0.0.0.0/0",
        "::/0",
        "10.0.0.1",
        "*",
        "10.0.0.0/8,,proxy.example.org",
    ] {
        let fixture = Fixture::new().with("TRUSTED_PROXIES", networks);
        assert_eq!(fixture.faulty(), ["TRUSTED_PROXIES"], "{networks}");
    }
}

#[test]
fn tls_1_2_is_an_explicit_choice_and_nothing_older_is_one() {
    assert!(!Fixture::new().read().unwrap().server.tls.tls_1_2);
    let old = Fixture::new().with("TLS_MIN_VERSION", "1.2");
    assert!(old.read().unwrap().server.tls.tls_1_2);
    for version in ["1.1", "1.0", "ssl", "1"] {
        let fixture = Fixture::new().with("TLS_MIN_VERSION", version);
        assert_eq!(fixture.faulty(), ["TLS_MIN_VERSION"], "{version}");
    }
}

#[test]
fn an_unencrypted_database_connection_is_for_development_only() {
    let fixture = Fixture::new().with("DATABASE_TLS", "disable");
    assert_eq!(fixture.faulty(), ["DATABASE_TLS"]);
    let settings = fixture.with("ENVIRONMENT", "development").read().unwrap();
    assert_eq!(settings.database.tls, DatabaseTls::Disable);
}

#[test]
fn a_certificate_with_another_key_is_refused() {
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let fixture = Fixture::new().file("tls.key", &other.signing_key.serialize_pem());
    assert_eq!(fixture.faulty(), ["TLS_CERT_FILE"]);
}

#[test]
fn only_exact_https_origins_are_accepted() {
    let good = Fixture::new().with(
        "ALLOWED_ORIGINS",
        "https://a.example.org, https://b.example.org:8443",
    );
    assert_eq!(good.read().unwrap().server.allowed_origins.len(), 2);
    for origin in [
        "*",
        "null",
        "http://a.example.org",
        "https://a.example.org/",
        "https://*.example.org",
        "https://",
    ] {
        assert_eq!(
            Fixture::new().with("ALLOWED_ORIGINS", origin).faulty(),
            ["ALLOWED_ORIGINS"],
            "{origin}"
        );
    }
}

#[test]
fn debug_of_the_settings_shows_no_secret() {
    let fixture = Fixture::new();
    let text = format!("{:?}", fixture.read().unwrap());
    assert!(!text.contains("generated-and-long-enough"), "{text}");
    for name in ["phi-kek", "blind-index", "token-signing", "audit"] {
        let key = std::fs::read_to_string(fixture.directory.path().join("keys").join(name)).unwrap();
        assert!(!text.contains(&key), "{name} is in {text}");
    }
}

#[test]
fn the_help_text_explains_every_variable() {
    let help = variables::help();
    for variable in variables::ALL {
        assert!(help.contains(variable.name) && help.contains(variable.meaning));
    }
}
