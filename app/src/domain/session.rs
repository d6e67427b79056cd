//! Sessions of users.

use uuid::Uuid;

use super::UserId;

/// Identity of a session; access tokens carry it as `sid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId(pub Uuid);

/// For whom an access token speaks. That its session still lives is for the database to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// The session that the token was issued in.
    pub session: SessionId,
}
