//! The files of the page, built from `web/` and part of the program; and what browsers may do with them.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cerium_harness::files::hash;

/// Path, media type, bytes.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("/", "text/html; charset=utf-8", include_bytes!("assets/index.html")),
    ("/assets/page.js", "text/javascript; charset=utf-8", include_bytes!("assets/page.js")),
    ("/assets/page.css", "text/css; charset=utf-8", include_bytes!("assets/page.css")),
    ("/assets/icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
];

/// Nothing comes from elsewhere, nothing is run that is not one of the files, and no other page may show this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

pub(super) fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, bytes)| {
        let tag = format!("\"{:.32}\"", hash(bytes));
        let tag = HeaderValue::try_from(tag).expect("hexadecimal digits in quotes");
        router.route(path, get(async move |headers: HeaderMap| file(&headers, kind, bytes, &tag)))
    })
}

fn file(
    headers: &HeaderMap,
    kind: &'static str,
    bytes: &'static [u8],
    tag: &HeaderValue,
) -> Response {
    let about = [
        (header::ETAG, tag.clone()),
        // Asked for again each time, and sent again only once it is another one.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| known == tag);
    if known {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], bytes).into_response()
}
