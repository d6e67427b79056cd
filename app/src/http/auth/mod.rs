//! Proof of identity.

mod attempt;
mod cookie;
mod grant;
mod holder;
mod jwks;
mod login;
mod logout;
mod password;
mod password_reset;
mod refresh;
mod second_factor;
mod sessions;
mod totp;

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
        .routes(routes!(password_reset::reset))
        .routes(routes!(totp::enrol))
        .routes(routes!(totp::confirm))
        .routes(routes!(totp::remove))
        .routes(routes!(jwks::jwks))
}
