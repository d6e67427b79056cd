//! `GET /.well-known/jwks.json`: the public keys of access tokens, for other services that verify them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::crypto::PublicJwk;
use crate::http::AppState;
use crate::http::problems::Always;

/// The keys (RFC 7517 section 5).
#[derive(Serialize, ToSchema)]
pub struct JwkSet {
    /// The key that signs, and the other one that is accepted while they change.
    #[schema(min_items = 1, max_items = 2)]
    keys: Vec<PublicJwk>,
}

/// Public keys of access tokens.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "auth",
    operation_id = "jwks",
    responses((status = 200, description = "The keys.", body = JwkSet), Always),
)]
pub async fn jwks(State(state): State<AppState>) -> Json<JwkSet> {
    Json(JwkSet {
        keys: state.tokens.public_keys(),
    })
}
