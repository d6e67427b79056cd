//! The refresh token as a cookie, for browsers: no script can read it, no other site can make it be sent.

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

/// The prefix makes browsers insist on `Secure`, on `Path=/` and on no `Domain`, so that no neighbouring host can plant
/// one (ASVS 3.3.1).
const NAME: &str = "__Host-refresh";

/// Sets the cookie for so many seconds.
pub fn set(token: &SecretString, seconds: i64) -> Option<HeaderValue> {
    value(token.expose_secret(), seconds)
}

/// Takes the cookie away.
pub fn clear() -> Option<HeaderValue> {
    value("", 0)
}

fn value(token: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The token that a browser sent along.
pub fn read(headers: &HeaderMap) -> Option<SecretString> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_by_its_whole_name() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(text).unwrap());
            read(&headers).map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(read("a=1; __Host-refresh=abc; b=2").as_deref(), Some("abc"));
        assert_eq!(read("__Host-refresh2=abc; x__Host-refresh=abc"), None);
        assert_eq!(read("__Host-refresh="), None);
    }
}
