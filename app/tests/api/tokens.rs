//! Access tokens: every known way to forge one, and the change of the key that signs them.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::deployment::{Clinic, Server, problem, write_random_key};
use crate::waiting::until;

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn with(value: &Value, changes: &[(&str, Value)]) -> Value {
    let mut value = value.clone();
    for (name, change) in changes {
        value[name] = change.clone();
    }
    value
}

/// The deployment's own key, and a good token taken apart.
struct Forge {
    pair: Ed25519KeyPair,
    header: Value,
    claims: Value,
}

impl Forge {
    fn new(clinic: &Clinic) -> Self {
        let path = clinic.deployment.directory.path().join("keys/token-signing");
        let seed = URL_SAFE_NO_PAD
            .decode(std::fs::read_to_string(path).unwrap())
            .unwrap();
        let parts: Vec<_> = clinic.token.split('.').collect();
        Self {
            pair: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap(),
            header: decode(parts[0]),
            claims: decode(parts[1]),
        }
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn with_header(&self, changes: &[(&str, Value)]) -> String {
        self.signed(&with(&self.header, changes), &self.claims)
    }

    fn with_claims(&self, changes: &[(&str, Value)]) -> String {
        self.signed(&self.header, &with(&self.claims, changes))
    }

    fn unsigned(&self, algorithm: &str) -> String {
        let header = with(&self.header, &[("alg", json!(algorithm))]);
        format!("{}.{}.", encode(&header), encode(&self.claims))
    }

    /// Signed with the public key as a symmetric one.
    fn confused(&self, algorithm: &str) -> String {
        let header = with(&self.header, &[("alg", json!(algorithm))]);
        let message = format!("{}.{}", encode(&header), encode(&self.claims));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, message.as_bytes()));
        format!("{message}.{tag}")
    }
}

async fn list(server: &Server, token: &str) -> Response {
    let request = server.get("/api/patients").bearer_auth(token);
    request.send().await.unwrap()
}

#[tokio::test]
async fn every_forged_or_spoilt_token_is_401_with_one_and_the_same_body() {
    let clinic = Clinic::open().await;
    let forge = Forge::new(&clinic);
    let good = forge.signed(&forge.header, &forge.claims);
    assert_eq!(list(&clinic.server, &good).await.status(), StatusCode::OK);

    let now = jiff::Timestamp::now().as_second();
    let own_key = json!({
        "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(forge.pair.public_key().as_ref()),
    });
    let mut without_sid = forge.claims.clone();
    without_sid.as_object_mut().unwrap().remove("sid");
    let attacks = [
        ("none", forge.unsigned("none")),
        ("None", forge.unsigned("None")),
        ("NONE", forge.unsigned("NONE")),
        ("no signature", forge.unsigned("EdDSA")),
        ("HS256 with the public key", forge.confused("HS256")),
        ("an HMAC that claims EdDSA", forge.confused("EdDSA")),
        ("ES256", forge.with_header(&[("alg", json!("ES256"))])),
        (
            "unknown kid",
            forge.with_header(&[("kid", json!("A".repeat(43)))]),
        ),
        (
            "kid as a path",
            forge.with_header(&[("kid", json!("../../../../dev/null"))]),
        ),
        ("kid as SQL", forge.with_header(&[("kid", json!("' OR '1'='1"))])),
        ("empty kid", forge.with_header(&[("kid", json!(""))])),
        (
            "jku",
            forge.with_header(&[("jku", json!("https://evil.example.org/jwks.json"))]),
        ),
        (
            "x5u",
            forge.with_header(&[("x5u", json!("https://evil.example.org/chain.pem"))]),
        ),
        ("jwk", forge.with_header(&[("jwk", own_key)])),
        ("crit", forge.with_header(&[("crit", json!(["exp"]))])),
        ("typ JWT", forge.with_header(&[("typ", json!("JWT"))])),
        (
            "typ of another kind",
            forge.with_header(&[("typ", json!("rt+jwt"))]),
        ),
        ("expired", forge.with_claims(&[("exp", json!(now - 10))])),
        ("not yet good", forge.with_claims(&[("nbf", json!(now + 60))])),
        ("exp as text", forge.with_claims(&[("exp", json!("9999999999"))])),
        (
            "another audience",
            forge.with_claims(&[("aud", json!("another-api"))]),
        ),
        (
            "another issuer",
            forge.with_claims(&[("iss", json!("https://evil.example.org"))]),
        ),
        ("no session", forge.signed(&forge.header, &without_sid)),
        ("truncated", good[..good.len() - 8].to_owned()),
        ("padded", format!("{good}=")),
        ("a part too many", format!("{good}.AAAA")),
        ("a part too few", good[..good.rfind('.').unwrap()].to_owned()),
        (
            "oversized",
            forge.with_claims(&[("pad", json!("a".repeat(4096)))]),
        ),
    ];
    let mut bodies = Vec::new();
    for (name, token) in attacks {
        let answer = list(&clinic.server, &token).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{name}");
        let mut body = problem(answer).await;
        body["request_id"].take();
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

async fn key_ids(server: &Server) -> Vec<String> {
    let answer = server.get("/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    let keys = body["keys"].as_array().unwrap();
    for key in keys {
        assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
        assert_eq!(key.get("d"), None);
    }
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_signing_key_changes_without_a_restart_and_without_a_refused_token() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    let file = |name: &str| clinic.deployment.directory.path().join("keys").join(name);
    let kid = |token: &str| decode(token.split('.').next().unwrap())["kid"].clone();
    let old = key_ids(server).await;
    assert_eq!(old, [kid(&clinic.token)]);

    write_random_key(&file("token-signing-previous"));
    let accepted = until("the second key", async || {
        Some(key_ids(server).await).filter(|keys| keys.len() == 2)
    })
    .await;
    assert_eq!(accepted[0], old[0]);

    let new = std::fs::read(file("token-signing-previous")).unwrap();
    let old_key = std::fs::read(file("token-signing")).unwrap();
    std::fs::write(file("token-signing-previous"), old_key).unwrap();
    std::fs::write(file("token-signing"), new).unwrap();
    until("the exchange", async || {
        let keys = key_ids(server).await;
        (keys == [accepted[1].clone(), accepted[0].clone()]).then_some(())
    })
    .await;
    let token = server.login("ada@clinic.example.org").await;
    assert_eq!(kid(&token), json!(accepted[1]));
    for token in [&token, &clinic.token] {
        assert_eq!(list(server, token).await.status(), StatusCode::OK);
    }

    std::fs::remove_file(file("token-signing-previous")).unwrap();
    until("the end of the old key", async || {
        let status = list(server, &clinic.token).await.status();
        (status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert_eq!(list(server, &token).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_changes_nothing_and_is_reported() {
    let clinic = Clinic::open().await;
    let path = clinic.deployment.directory.path().join("keys/token-signing");
    std::fs::write(path, "planted, not a key").unwrap();
    until("the report", async || {
        clinic
            .server
            .output()
            .contains("the keys of access tokens stay as they were")
            .then_some(())
    })
    .await;
    assert!(!clinic.server.output().contains("planted"));
    assert_eq!(list(&clinic.server, &clinic.token).await.status(), StatusCode::OK);
}
