//! Proof of identity.

mod cookie;
mod grant;
mod holder;
mod jwks;
mod login;
mod logout;
mod password;
mod refresh;
mod sessions;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

/// The routes of this folder.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(password::change))
        .routes(routes!(jwks::jwks))
}
