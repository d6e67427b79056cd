//! Sessions: refresh tokens that are good once, limits by the database's clock, and ends that hold everywhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::deployment::{Clinic, Server, USER_PASSWORD, problem};

/// The session that an access token was issued in.
pub(crate) fn session_of(token: &str) -> Uuid {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().parse().unwrap()
}

/// Logs in and gives the whole answer.
async fn login(server: &Server) -> Value {
    let body = json!({"email": "ada@clinic.example.org", "password": USER_PASSWORD});
    let answer = server.post("/api/auth/login").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

fn text(body: &Value, member: &str) -> String {
    body[member].as_str().unwrap().to_owned()
}

async fn refresh(server: &Server, token: &str) -> Response {
    let body = json!({"refresh_token": token});
    server.post("/api/auth/refresh").json(&body).send().await.unwrap()
}

async fn refreshed(server: &Server, token: &str) -> Value {
    let answer = refresh(server, token).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

async fn assert_refused(answer: Response) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(problem(answer).await["code"], "invalid_refresh_token");
}

async fn may_list(server: &Server, token: &str) -> StatusCode {
    let request = server.get("/api/patients").bearer_auth(token);
    request.send().await.unwrap().status()
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

async fn recorded(connection: &mut PgConnection, session: Uuid, action: &str, outcome: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM audit_event
         WHERE resource = 'session' AND resource_ids = ARRAY[$1] AND action = $2 AND outcome = $3",
    )
    .bind(session)
    .bind(action)
    .bind(outcome)
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session_and_the_access_token_works() {
    let clinic = Clinic::open().await;
    let first = login(&clinic.server).await;
    assert_eq!(first["refresh_expires_in"], 8 * 3600);
    let second = refreshed(&clinic.server, &text(&first, "refresh_token")).await;
    assert_eq!(first["user"], second["user"]);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let session = session_of(&text(&first, "access_token"));
    assert_eq!(session_of(&text(&second, "access_token")), session);
    let token = text(&second, "access_token");
    assert_eq!(may_list(&clinic.server, &token).await, StatusCode::OK);
    let mut superuser = clinic.deployment.connect("postgres").await;
    assert_eq!(recorded(&mut superuser, session, "login", "success").await, 1);
    assert_eq!(recorded(&mut superuser, session, "refresh", "success").await, 1);
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_event WHERE session_id = $1 ORDER BY sequence")
            .bind(session)
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(actions, ["login", "refresh", "list"]);
}

#[tokio::test]
async fn a_copied_refresh_token_ends_the_session_of_thief_and_victim_and_is_recorded_and_counted() {
    let clinic = Clinic::open().await;
    let first = login(&clinic.server).await;
    let copied = text(&first, "refresh_token");
    let second = refreshed(&clinic.server, &copied).await;
    let session = session_of(&text(&second, "access_token"));

    // Within the grace the old token is refused and nothing else happens.
    assert_refused(refresh(&clinic.server, &copied).await).await;
    let third = refreshed(&clinic.server, &text(&second, "refresh_token")).await;

    let mut owner = clinic.deployment.connect("medical_owner").await;
    execute(
        &mut owner,
        "UPDATE refresh_token SET used_at = used_at - interval '11 seconds' WHERE used_at IS NOT NULL",
    )
    .await;
    assert_refused(refresh(&clinic.server, &copied).await).await;
    assert_refused(refresh(&clinic.server, &text(&third, "refresh_token")).await).await;
    let access = text(&third, "access_token");
    assert_eq!(may_list(&clinic.server, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(may_list(&clinic.server, &clinic.token).await, StatusCode::OK);

    let mut superuser = clinic.deployment.connect("postgres").await;
    assert_eq!(
        recorded(&mut superuser, session, "token_reuse", "denied").await,
        1
    );
    let metrics = clinic.server.metrics().await;
    assert!(
        metrics.contains(r#"auth_refreshes_total{outcome="reuse"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn of_many_simultaneous_refreshes_with_one_token_exactly_one_succeeds_and_the_session_lives_on() {
    let clinic = Clinic::open().await;
    let other = clinic.deployment.serve().await;
    let token = text(&login(&clinic.server).await, "refresh_token");
    let body = json!({"refresh_token": token});
    let requests: Vec<_> = (0..12)
        .map(|number| {
            let server = if number % 2 == 0 { &clinic.server } else { &other };
            tokio::spawn(server.post("/api/auth/refresh").json(&body).send())
        })
        .collect();
    let mut granted = Vec::new();
    for request in requests {
        let answer = request.await.unwrap().unwrap();
        if answer.status() == StatusCode::OK {
            granted.push(answer.json::<Value>().await.unwrap());
        } else {
            assert_refused(answer).await;
        }
    }
    assert_eq!(granted.len(), 1);
    refreshed(&clinic.server, &text(&granted[0], "refresh_token")).await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_too_long_or_too_old_by_the_clock_of_the_database() {
    let clinic = Clinic::open().await;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    for (nearly, over) in [
        (
            "last_used_at = now() - interval '29 minutes'",
            "last_used_at = now() - interval '30 minutes'",
        ),
        ("expires_at = now() + interval '1 minute'", "expires_at = now()"),
    ] {
        let granted = login(&clinic.server).await;
        let access = text(&granted, "access_token");
        let id = session_of(&access);
        let set = |change: &str| format!("UPDATE user_session SET {change} WHERE id = '{id}'");
        execute(&mut owner, &set(nearly)).await;
        assert_eq!(
            may_list(&clinic.server, &access).await,
            StatusCode::OK,
            "{nearly}"
        );
        execute(&mut owner, &set(over)).await;
        assert_eq!(
            may_list(&clinic.server, &access).await,
            StatusCode::UNAUTHORIZED,
            "{over}"
        );
        assert_refused(refresh(&clinic.server, &text(&granted, "refresh_token")).await).await;
    }
}

#[tokio::test]
async fn each_request_keeps_its_session_from_being_idle() {
    let clinic = Clinic::open().await;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    execute(
        &mut owner,
        "UPDATE user_session SET last_used_at = now() - interval '29 minutes'",
    )
    .await;
    assert_eq!(may_list(&clinic.server, &clinic.token).await, StatusCode::OK);
    let idle: bool =
        sqlx::query_scalar("SELECT last_used_at < now() - interval '1 minute' FROM user_session")
            .fetch_one(&mut owner)
            .await
            .unwrap();
    assert!(!idle);
}

#[tokio::test]
async fn an_inactive_user_cannot_refresh() {
    let clinic = Clinic::open().await;
    let token = text(&login(&clinic.server).await, "refresh_token");
    let mut owner = clinic.deployment.connect("medical_owner").await;
    execute(&mut owner, "UPDATE app_user SET active = false").await;
    assert_refused(refresh(&clinic.server, &token).await).await;
}

#[tokio::test]
async fn logging_out_ends_the_session_on_every_replica_and_can_be_repeated() {
    let clinic = Clinic::open().await;
    let other = clinic.deployment.serve().await;
    let granted = login(&clinic.server).await;
    let access = text(&granted, "access_token");
    assert_eq!(may_list(&other, &access).await, StatusCode::OK);
    for _ in 0..2 {
        let request = clinic.server.post("/api/auth/logout").bearer_auth(&access);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body, json!({"message": "Logged out successfully"}));
    }
    assert_eq!(may_list(&other, &access).await, StatusCode::UNAUTHORIZED);
    assert_refused(refresh(&other, &text(&granted, "refresh_token")).await).await;
    assert_eq!(may_list(&other, &clinic.token).await, StatusCode::OK);
    let mut superuser = clinic.deployment.connect("postgres").await;
    let session = session_of(&access);
    assert_eq!(recorded(&mut superuser, session, "end", "success").await, 1);
}

#[tokio::test]
async fn a_browser_gets_its_refresh_token_in_a_cookie_that_no_script_and_no_other_site_can_use() {
    let clinic = Clinic::open().await;
    let body = json!({"email": "ada@clinic.example.org", "password": USER_PASSWORD, "cookie": true});
    let answer = clinic
        .server
        .post("/api/auth/login")
        .json(&body)
        .send()
        .await
        .unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-refresh="));
    assert_eq!(
        attributes,
        "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=28800"
    );
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body.get("refresh_token"), None);

    let refresh = |cookie: &str| {
        let request = clinic.server.post("/api/auth/refresh").header("cookie", cookie);
        request.json(&json!({})).send()
    };
    let answer = refresh(pair).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let next = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let next = next.split(';').next().unwrap();
    assert_ne!(next, pair);
    assert_eq!(answer.json::<Value>().await.unwrap().get("refresh_token"), None);

    let form = clinic.server.post("/api/auth/refresh").header("cookie", next);
    let answer = form
        .header("content-type", "application/x-www-form-urlencoded")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let logout = clinic.server.post("/api/auth/logout").header("cookie", next);
    let answer = logout.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let cleared = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cleared.starts_with("__Host-refresh=;") && cleared.ends_with("Max-Age=0"),
        "{cleared}"
    );
    assert_refused(refresh(next).await.unwrap()).await;
}

#[tokio::test]
async fn a_missing_an_unknown_and_an_access_token_refresh_nothing() {
    let clinic = Clinic::open().await;
    let missing = clinic.server.post("/api/auth/refresh").json(&json!({}));
    assert_refused(missing.send().await.unwrap()).await;
    let unknown = "A".repeat(43);
    let access = &clinic.token[..200];
    for token in [unknown.as_str(), access, "x"] {
        assert_refused(refresh(&clinic.server, token).await).await;
    }
}

#[tokio::test]
async fn users_see_and_end_their_own_sessions_only() {
    let clinic = Clinic::open().await;
    clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let grace = clinic.server.login("grace@clinic.example.org").await;
    let second = text(&login(&clinic.server).await, "access_token");
    let list = async |token: &str| {
        let request = clinic.server.get("/api/auth/sessions").bearer_auth(token);
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        body["items"].as_array().unwrap().clone()
    };
    let mine = list(&clinic.token).await;
    assert_eq!(mine.len(), 2);
    assert_eq!(mine[0]["id"], session_of(&second).to_string());
    assert_eq!(
        (&mine[0]["current"], &mine[1]["current"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(mine[0]["client_address"], "127.0.0.1");
    assert_eq!(list(&grace).await.len(), 1);

    let end = async |token: &str, id: &str| {
        let path = format!("/api/auth/sessions/{id}");
        let request = clinic.server.request(reqwest::Method::DELETE, &path);
        request.bearer_auth(token).send().await.unwrap().status()
    };
    let id = session_of(&second).to_string();
    assert_eq!(end(&grace, &id).await, StatusCode::NOT_FOUND);
    assert_eq!(may_list(&clinic.server, &second).await, StatusCode::OK);
    assert_eq!(end(&clinic.token, &id).await, StatusCode::NO_CONTENT);
    assert_eq!(may_list(&clinic.server, &second).await, StatusCode::UNAUTHORIZED);
    assert_eq!(end(&clinic.token, &id).await, StatusCode::NOT_FOUND);
    assert_eq!(end(&clinic.token, "nonsense").await, StatusCode::NOT_FOUND);
    assert_eq!(list(&clinic.token).await.len(), 1);
}

#[tokio::test]
async fn no_refresh_token_is_stored_as_it_is() {
    let clinic = Clinic::open().await;
    let token = text(&login(&clinic.server).await, "refresh_token");
    let mut superuser = clinic.deployment.connect("postgres").await;
    let stored: String = sqlx::query_scalar(
        "SELECT string_agg(refresh_token::text, ' ') || string_agg(user_session::text, ' ')
         FROM refresh_token JOIN user_session ON user_session.id = refresh_token.session_id",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert!(stored.contains("\\x") && !stored.contains(&token));
    let database_log = std::fs::read(clinic.deployment.cluster.directory.join("postgres.log")).unwrap();
    assert!(!String::from_utf8_lossy(&database_log).contains(&token));
    assert!(!clinic.server.output().contains(&token));
}
