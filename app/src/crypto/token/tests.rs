use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://clinic.example.org";
const LIFETIME: Duration = Duration::from_mins(15);

fn seed() -> SecretKey {
    SecretKey::from_bytes(*b"seed-of-the-tests-0123456789abcd")
}

fn keys(seed: SecretKey) -> SigningKeys {
    SigningKeys {
        current: seed,
        other: None,
    }
}

fn authority() -> TokenAuthority {
    TokenAuthority::new(&keys(seed()), ISSUER, LIFETIME).unwrap()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn bearer() -> Bearer {
    Bearer {
        user: UserId(Uuid::from_u128(3)),
        session: SessionId(Uuid::from_u128(5)),
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": authority().public_keys()[0].kid})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": Uuid::from_u128(3), "sid": Uuid::from_u128(5), "jti": Uuid::from_u128(4),
        "iat": now(), "nbf": now(), "exp": now() + 60,
    })
}

fn with(mut value: Value, changes: &[(&str, Value)]) -> Value {
    for (name, change) in changes {
        value[name] = change.clone();
    }
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

/// A token with any header and claims, signed with the right key.
fn signed(header: &Value, claims: &Value) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed().bytes()).unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = pair.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_says_whom_it_was_issued_to() {
    let claims = authority()
        .verify(&authority().issue(bearer(), now()).unwrap())
        .unwrap();
    assert_eq!(claims.bearer(), bearer());
    assert_eq!(claims.exp - claims.iat, 900);
    assert_eq!(claims.iss, ISSUER);
}

#[test]
fn a_hand_made_token_of_the_right_shape_is_accepted_so_that_the_refusals_below_mean_something() {
    assert!(authority().verify(&signed(&header(), &claims())).is_ok());
}

#[test]
fn a_token_with_any_claim_wrong_or_missing_is_refused() {
    let wrong = [
        with(
            claims(),
            &[("exp", json!(now() - LEEWAY_SECONDS.cast_signed() - 1))],
        ),
        with(claims(), &[("nbf", json!(now() + 60))]),
        with(claims(), &[("iss", json!("https://evil.example.org"))]),
        with(claims(), &[("aud", json!("another-api"))]),
        with(claims(), &[("sub", json!("clinician@example.org"))]),
        with(claims(), &[("exp", json!("never"))]),
        without(claims(), "exp"),
        without(claims(), "nbf"),
        without(claims(), "iss"),
        without(claims(), "aud"),
        without(claims(), "sub"),
        without(claims(), "sid"),
    ];
    for claims in wrong {
        let token = signed(&header(), &claims);
        assert!(authority().verify(&token).is_err(), "accepted {claims}");
    }
}

#[test]
fn a_header_that_is_not_exactly_ours_is_refused_even_with_a_good_signature() {
    let wrong = [
        with(header(), &[("alg", json!("none"))]),
        with(header(), &[("alg", json!("HS256"))]),
        with(header(), &[("alg", json!("ES256"))]),
        with(header(), &[("typ", json!("JWT"))]),
        with(header(), &[("kid", json!("../../../../dev/null"))]),
        with(header(), &[("jku", json!("https://evil.example.org/jwks.json"))]),
        with(header(), &[("x5u", json!("https://evil.example.org/chain.pem"))]),
        with(
            header(),
            &[("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}))],
        ),
        with(header(), &[("crit", json!(["exp"])), ("exp", json!(0))]),
        without(header(), "typ"),
        without(header(), "kid"),
    ];
    for header in wrong {
        let token = signed(&header, &claims());
        assert!(authority().verify(&token).is_err(), "accepted {header}");
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "NONE", "EdDSA"] {
        let header = with(header(), &[("alg", json!(algorithm))]);
        let token = format!("{}.{}.", encode(&header), encode(&claims()));
        assert!(authority().verify(&token).is_err(), "accepted {algorithm}");
    }
}

#[test]
fn the_public_key_used_as_an_hmac_secret_signs_nothing() {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed().bytes()).unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, pair.public_key().as_ref());
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["HS256", "EdDSA"] {
        let header = with(header(), &[("alg", json!(algorithm))]);
        let message = format!("{}.{}", encode(&header), encode(&claims()));
        let tag = hmac::sign(&secret, message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert!(authority().verify(&token).is_err(), "accepted {algorithm}");
    }
}

#[test]
fn a_token_signed_by_another_key_or_changed_or_mangled_is_refused() {
    let other = TokenAuthority::new(&keys(SecretKey::from_bytes([5; 32])), ISSUER, LIFETIME).unwrap();
    assert!(
        authority()
            .verify(&other.issue(bearer(), now()).unwrap())
            .is_err()
    );

    let good = authority().issue(bearer(), now()).unwrap();
    let parts: Vec<_> = good.split('.').collect();
    let mangled = [
        String::new(),
        "..".to_owned(),
        good.replace('.', ""),
        format!("{good}.{}", parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        good[..good.len() - 4].to_owned(),
        format!("{good}="),
        format!(
            "{}.{}.{}",
            parts[0],
            URL_SAFE_NO_PAD.encode(claims().to_string()),
            parts[2]
        ),
        "a".repeat(LONGEST + 1),
    ];
    for token in mangled {
        assert!(authority().verify(&token).is_err(), "accepted {token}");
    }
}

#[test]
fn while_keys_change_tokens_of_both_are_accepted_and_the_current_one_signs() {
    let (old, new) = (seed(), SecretKey::from_bytes([5; 32]));
    let authority = authority();
    let before = authority.issue(bearer(), now()).unwrap();
    let changing = SigningKeys {
        current: new.clone(),
        other: Some(old),
    };
    assert!(authority.replace_keys(&changing).unwrap());
    assert!(!authority.replace_keys(&changing).unwrap());
    let after = authority.issue(bearer(), now()).unwrap();
    assert!(authority.verify(&before).is_ok() && authority.verify(&after).is_ok());
    assert_eq!(authority.public_keys().len(), 2);
    assert!(authority.replace_keys(&keys(new)).unwrap());
    assert!(authority.verify(&before).is_err() && authority.verify(&after).is_ok());
}
