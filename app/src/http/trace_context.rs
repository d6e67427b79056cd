//! The trace that a request belongs to (W3C Trace Context, level 1).

use axum::http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// Header field of the trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Id of the caller's trace, 32 lower-case hexadecimal digits; without a valid one, the request begins a trace of its own
/// with its own id. Nothing else of the field is kept, so that nothing can be smuggled into logs.
pub fn trace_id(headers: &HeaderMap, request_id: Uuid) -> String {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return request_id.simple().to_string();
    };
    line.to_str()
        .ok()
        .and_then(given)
        .map_or_else(|| request_id.simple().to_string(), str::to_owned)
}

fn given(line: &str) -> Option<&str> {
    let mut parts = line.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    let valid = hexadecimal(version, 2)
        && version != "ff"
        && hexadecimal(trace, 32)
        && !zero(trace)
        && hexadecimal(parent, 16)
        && !zero(parent)
        && hexadecimal(flags, 2)
        // Later versions may append; this one may not.
        && (version != "00" || parts.next().is_none());
    valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_parent_gives_its_trace_and_anything_else_a_new_one() {
        let own = Uuid::from_u128(7);
        let trace = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, line.parse().unwrap());
            trace_id(&headers, own)
        };
        let given = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace(&format!("00-{given}-00f067aa0ba902b7-01")), given);
        assert_eq!(trace(&format!("01-{given}-00f067aa0ba902b7-01-more")), given);
        for line in [
            "",
            "planted",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(trace(line), own.simple().to_string(), "{line}");
        }
    }
}
