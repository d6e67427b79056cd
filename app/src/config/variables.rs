//! The one list of environment variables. `--help` is rendered from it, and [`super::Source`] refuses to look up a
//! name that is not in it, so that no variable can be read without being documented.

/// One environment variable that the program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Name in the environment.
    pub name: &'static str,
    /// Value used when it is absent or empty; `None` when it has to be given.
    pub default: Option<&'static str>,
    /// What it does, with unit and range.
    pub meaning: &'static str,
}

impl Variable {
    fn explain(&self) -> String {
        let default = match self.default {
            None => "required".to_owned(),
            Some("") => "default: empty".to_owned(),
            Some(value) => format!("default: {value}"),
        };
        format!("  {} [{default}]\n      {}\n", self.name, self.meaning)
    }
}

macro_rules! variables {
    ($($ident:ident = $name:literal, $default:expr, $meaning:literal;)*) => {
        $(#[doc = concat!("`", $name, "`; what it does is in its `meaning`.")] pub const $ident: Variable = Variable { name: $name, default: $default, meaning: $meaning };)*
        /// Every variable, in the order of `--help`.
        pub const ALL: &[Variable] = &[$($ident),*];
    };
}

variables! {
    ENVIRONMENT = "ENVIRONMENT", Some("production"),
        "production, staging or development. Development permits an unencrypted database connection and logs as text.";
    LOG_LEVEL = "LOG_LEVEL", Some("info"),
        "error, warn, info, debug or trace, for this program's own events; libraries are heard from warn upwards.";
    MEDICAL_LISTEN = "MEDICAL_LISTEN", Some("0.0.0.0:8443"),
        "Address and port of the API and the probes, HTTPS only.";
    MEDICAL_METRICS_LISTEN = "MEDICAL_METRICS_LISTEN", Some("0.0.0.0:9090"),
        "Address and port of /metrics, plain HTTP and nothing else; keep it inside the cluster.";
    PUBLIC_URL = "PUBLIC_URL", Some("https://localhost:8443"),
        "The https origin under which clients reach the API; it is the issuer of access tokens.";
    ALLOWED_ORIGINS = "ALLOWED_ORIGINS", Some(""),
        "Exact https origins that browsers may call from, separated by commas; none means no cross-origin access.";
    TRUSTED_PROXIES = "TRUSTED_PROXIES", Some(""),
        "Networks of the proxies in front, separated by commas, that are believed about the client's address; none by default.";
    TRUSTED_PROXY_HEADER = "TRUSTED_PROXY_HEADER", Some("x-forwarded-for"),
        "x-forwarded-for or forwarded: the one header field in which those proxies tell the client's address.";
    RATE_LIMITS = "RATE_LIMITS", Some(""),
        "Changes to the limits, class.scope=requests/seconds separated by commas. Unchanged: login.address=60/60, read.account=60/60, read.address=300/60, write.account=60/60, write.address=300/60.";
    REQUESTS_IN_FLIGHT = "REQUESTS_IN_FLIGHT", Some("256"),
        "Requests of one class (login, read, write) worked on at a time, 1 to 100000; further ones get 503. Probes are not counted.";
    SHUTDOWN_GRACE_SECONDS = "SHUTDOWN_GRACE_SECONDS", Some("20"),
        "Seconds, 1 to 600, from SIGTERM until open connections are cut; readiness fails during all of them.";
    DATABASE_HOST = "DATABASE_HOST", None,
        "Host name of PostgreSQL; its certificate has to carry this name.";
    DATABASE_PORT = "DATABASE_PORT", Some("5432"), "Port of PostgreSQL.";
    DATABASE_NAME = "DATABASE_NAME", Some("app"), "Name of the database.";
    DATABASE_USER = "DATABASE_USER", None,
        "Role to log in as: medical_app for serve, medical_owner for migrate and admin.";
    DATABASE_PASSWORD_FILE = "DATABASE_PASSWORD_FILE", None,
        "File that holds the role's password; read again when it changes.";
    DATABASE_CA_FILE = "DATABASE_CA_FILE", None,
        "PEM file of the authority that signed PostgreSQL's certificate; not needed with DATABASE_TLS=disable.";
    DATABASE_TLS = "DATABASE_TLS", Some("verify-full"),
        "verify-full, or disable, which only development accepts.";
    DATABASE_MAX_CONNECTIONS = "DATABASE_MAX_CONNECTIONS", Some("20"),
        "Connections of one process at most, 1 to 500.";
    TLS_CERT_FILE = "TLS_CERT_FILE", None,
        "PEM file of the server's certificate chain, leaf first; read again when it changes.";
    TLS_KEY_FILE = "TLS_KEY_FILE", None,
        "PEM file of the private key that belongs to the certificate; read again when it changes.";
    TLS_MIN_VERSION = "TLS_MIN_VERSION", Some("1.3"),
        "1.3, or 1.2 for clients that know nothing newer.";
    CLIENT_CA_FILE = "CLIENT_CA_FILE", Some(""),
        "PEM file of the authority that signs services' own certificates; with it, services may show one. Read again when it changes.";
    KEYS_DIRECTORY = "KEYS_DIRECTORY", None,
        "Directory with the files phi-kek, blind-index, token-signing and audit: 32 random bytes each, base64url; during a rotation phi-kek-next or phi-kek-previous, too. The audit and admin commands read audit only. A file token-signing-previous holds a second key whose access tokens are accepted; these two are read again when they change.";
    ACCESS_TOKEN_MINUTES = "ACCESS_TOKEN_MINUTES", Some("15"),
        "Minutes, 1 to 60, for which an access token is good.";
    SESSION_IDLE_MINUTES = "SESSION_IDLE_MINUTES", Some("30"),
        "Minutes, 1 to 1440, without a request after which a session ends.";
    SESSION_MAX_HOURS = "SESSION_MAX_HOURS", Some("8"),
        "Hours, 1 to 168, after which a session ends however much it is used.";
}

/// The section of `--help` about the environment.
pub fn help() -> String {
    let variables: String = ALL.iter().map(Variable::explain).collect();
    format!(
        "Environment:\n{variables}\nExit status: 0 done, 1 failed, 2 wrong arguments, 78 wrong configuration.\n"
    )
}
