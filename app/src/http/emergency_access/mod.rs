//! Emergency access to patients who are not in one's care, and its review by somebody else.

mod grant;
mod list;
mod review;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

/// The routes of this folder.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(grant::grant))
        .routes(routes!(list::list))
        .routes(routes!(review::review))
}
