//! `GET /api/users`

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::account::{self, Account};
use crate::domain::{Role, UserId};
use crate::http::error::{ApiError, Problem};
use crate::http::extract::Authorised;
use crate::http::page::{Page, PageQuery};
use crate::http::problems::{Always, ForCallers};
use crate::policy::{List, Users};

/// An account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountOutput {
    /// Identity.
    id: Uuid,
    /// Address, the login name.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// Name for display.
    #[schema(max_length = 100)]
    display_name: String,
    /// Role.
    #[schema(required)]
    role: Option<Role>,
    /// Whether the user may log in.
    active: bool,
}

impl From<Account> for AccountOutput {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.0,
            email: account.email,
            display_name: account.display_name,
            role: account.role,
            active: account.active,
        }
    }
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub struct AccountPage {
    /// The accounts, in the order of their making.
    #[schema(max_items = 100)]
    items: Vec<AccountOutput>,
    /// For `after`, to get the next page; null on the last one.
    #[schema(max_length = 22, required)]
    next: Option<String>,
}

/// List the accounts.
#[utoipa::path(
    get,
    path = "/api/users",
    tag = "users",
    operation_id = "listUsers",
    security(("bearer" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of accounts.", body = AccountPage),
        (status = 422, description = "A query parameter is not valid.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        Always,
    ),
)]
pub async fn list(
    mut access: Authorised<List<Users>>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let page = Page::check(query)?;
    let found = account::list(&mut access.caller, page.after.map(UserId), page.wanted()).await;
    let answer = found.map_err(ApiError::from).map(|mut accounts| {
        let next = page.cut(&mut accounts, |account| account.id.0);
        for account in &accounts {
            access.caller.concerns(account.id.0);
        }
        let items = accounts.into_iter().map(AccountOutput::from).collect();
        Json(AccountPage { items, next })
    });
    access.conclude(answer).await
}
