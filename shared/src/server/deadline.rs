//! The deadline of a call, as its client states it.

use std::time::Duration;

use http::HeaderMap;

/// The server answers this long before the client's deadline, or a tenth of the client's timeout if that is less. The
/// answer has to travel, and the client's own timer must not fire first.
const DEADLINE_MARGIN: Duration = Duration::from_millis(20);

/// The client's timeout from `grpc-timeout`, minus the margin.
pub fn client_deadline(headers: &HeaderMap) -> Option<Duration> {
    let raw = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = raw.split_at_checked(raw.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None; // the gRPC specification allows eight digits
    }
    let value: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    };
    Some(timeout.saturating_sub(DEADLINE_MARGIN.min(timeout / 10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(raw: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", raw.parse().expect("a header value"));
        client_deadline(&headers)
    }

    #[test]
    fn a_call_ends_a_little_before_the_clients_deadline() {
        assert_eq!(deadline("100m"), Some(Duration::from_millis(90)));
        assert_eq!(deadline("2S"), Some(Duration::from_millis(1980)));
        assert_eq!(deadline("99999999H"), Some(Duration::from_hours(99_999_999).saturating_sub(DEADLINE_MARGIN)));
    }

    #[test]
    fn an_invalid_grpc_timeout_header_is_ignored() {
        for raw in ["", "m", "5", "5x", "-5m", "123456789m", "1.5S"] {
            assert_eq!(deadline(raw), None, "{raw:?}");
        }
    }
}
