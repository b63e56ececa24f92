//! Pages of other sites that may use the server, because its owner names their sites: what a browser asks
//! before such a page may send anything, and what it must hear with every answer.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::str::FromStr;

/// How long a browser need not ask again, in seconds.
const MAX_AGE: &str = "600";

/// What is served under some path.
const METHODS: &str = "GET, POST, DELETE";

/// Headers of answers that a page may read beside those that it always may.
const SHOWN: &str = "openai-model, openai-processing-ms, retry-after, retry-after-ms, x-request-id, \
    x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

const ASKS_FOR_NEARBY: &str = "access-control-request-private-network";

/// A site, as browsers name it in `Origin`: `https://app.example`, with a port unless it is the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site(String);

impl FromStr for Site {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "`{text:.100}` is no site; one is written as `https://app.example`, or with a port"
            )
        };
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or_else(wanted)?;
        let is_name = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if is_name(scheme, "+-.") && is_name(rest, "-._:[]") {
            Ok(Self(text))
        } else {
            Err(wanted())
        }
    }
}

impl Site {
    /// Whether a page names this site.
    pub(crate) fn is(&self, origin: &HeaderValue) -> bool {
        origin.as_bytes().eq_ignore_ascii_case(self.0.as_bytes())
    }
}

/// The answer to a browser that asks, for a page which may, whether it may send a request; `None` when
/// something else is asked.
pub(crate) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response> {
    let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if method != Method::OPTIONS || !asks {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let told = response.headers_mut();
    told.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    told.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    // SDKs send headers of their own, and more with every release.
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        told.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if headers.contains_key(ASKS_FOR_NEARBY) {
        let name = HeaderName::from_static("access-control-allow-private-network");
        told.insert(name, HeaderValue::from_static("true"));
    }
    Some(response)
}

/// Lets a page of this site read the answer.
pub(crate) fn tell(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_would_say_is_a_site() {
        for text in
            ["https://app.example", "http://localhost:5173", "http://[::1]:80", "HTTP://A.b"]
        {
            let site: Site = text.parse().unwrap();
            assert!(site.is(&HeaderValue::from_str(text).unwrap()), "{text}");
        }
        for text in
            ["*", "null", "app.example", "https://", "https://a.example/", "https://*.a.example"]
        {
            assert!(text.parse::<Site>().is_err(), "{text}");
        }
    }
}
