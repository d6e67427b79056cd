//! The OpenAPI document, derived from the routes.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::Problem;
use super::router;

/// Name of the security scheme that operations refer to.
pub const BEARER: &str = "bearer";

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        scheme.description = Some("An access token from POST /api/auth/login.".to_owned());
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
}

/// What the routes do not say.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Medical API",
        description = "Patients' records. Every access is recorded; a patient outside one's care is not found.\n\n\
            Limits, unless an installation changed them: 60 requests a minute that read and 60 that write for one account, \
            300 of each for one address (of IPv6 one /64), 5 attempts to log in for one account and 60 for one address; \
            `RateLimit` and `RateLimit-Policy` tell what is left, 429 with `Retry-After` that nothing is. A body has at most \
            128 KiB, is not compressed and arrives within 10 seconds; a head has at most 16 KiB and arrives within 30 \
            seconds; an answer takes at most 30 seconds. More requests at a time than there are places for get 503 with \
            `Retry-After`. Probes have no limit.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "https://localhost:8443", description = "A local process")),
    components(schemas(Problem)),
    modifiers(&Security),
    tags(
        (name = "auth", description = "Proof of identity"),
        (name = "patients", description = "Patients whom the caller may see"),
        (name = "care team", description = "Who cares for a patient"),
        (name = "emergency access", description = "Patients who are not in one's care, in an emergency"),
        (name = "users", description = "Accounts, for administrators"),
        (name = "audit", description = "Who did what, for auditors"),
        (name = "fhir", description = "Patients and the audit log by FHIR R4 (4.0.1), to be read"),
        (name = "health", description = "Probes"),
    ),
)]
pub struct Frame;

/// The whole document as JSON with a final line break, as it is checked in.
///
/// # Errors
/// When it cannot be serialised.
pub fn document() -> serde_json::Result<String> {
    let (_, document) = router::routes().split_for_parts();
    document.to_pretty_json().map(|json| json + "\n")
}
