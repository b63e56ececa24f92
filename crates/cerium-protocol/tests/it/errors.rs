//! The one wire shape of errors.

use cerium_protocol::wire::ErrorEnvelope;
use cerium_protocol::{ErrorBody, ErrorKind};

#[test]
fn an_error_has_all_four_keys_and_a_published_type() {
    let kinds = [
        (ErrorKind::InvalidRequestError, "invalid_request_error"),
        (ErrorKind::NotFoundError, "invalid_request_error"),
        (ErrorKind::PermissionError, "invalid_request_error"),
        (ErrorKind::RateLimitError, "rate_limit_error"),
        (ErrorKind::OverloadedError, "service_unavailable_error"),
        (ErrorKind::ServerError, "server_error"),
    ];
    for (kind, name) in kinds {
        let body = ErrorEnvelope { error: ErrorBody::new(kind, "why") };
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            format!(r#"{{"error":{{"message":"why","type":"{name}","param":null,"code":null}}}}"#)
        );
    }
}

#[test]
fn errors_of_other_servers_are_read_whatever_their_type() {
    let read = |text: &str| serde_json::from_str::<ErrorEnvelope>(text).unwrap().error;
    let full = read(
        r#"{"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"slow_down"}}"#,
    );
    assert_eq!(full.kind, ErrorKind::RateLimitError);
    assert_eq!(full.code.as_deref(), Some("slow_down"));
    let odd = read(r#"{"error":{"message":"no","type":"insufficient_quota"}}"#);
    assert_eq!(odd.kind, ErrorKind::ServerError);
}
