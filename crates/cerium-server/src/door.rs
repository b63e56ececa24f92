//! Who may come in: checks of `Host` and `Origin`, before anything else of a request is read.
//!
//! A server on this machine can be reached by every page that a browser here shows. Such a page
//! names itself in `Origin`; after it has made its own name resolve to this machine (DNS rebinding)
//! the browser takes the two for one site, but then its name stands in `Host`. Programs that are no
//! browsers send no `Origin` and address the server by what it listens on.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use cerium_protocol::{ErrorBody, ErrorKind};
use std::net::{IpAddr, SocketAddr};

/// Names by which this server may be addressed.
#[derive(Debug)]
pub(crate) struct Door {
    /// Only this machine can reach the server, so no other address can be meant.
    loopback: bool,
    names: Vec<String>,
}

impl Door {
    pub(crate) fn new(listens_on: SocketAddr, names: &[String]) -> Self {
        let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.push("localhost".to_owned());
        Self { loopback: listens_on.ip().is_loopback(), names }
    }

    /// Lets a request in, or says why not.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ErrorBody> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => authority(host),
            _ => None,
        };
        let Some(host) = host else {
            return Err(ErrorBody::new(
                ErrorKind::InvalidRequestError,
                "the request needs one `Host` header that names this server",
            )
            .with_code("invalid_host"));
        };
        for named in std::iter::once(&host).chain(uri.authority()) {
            if !self.is_ours(named.host()) {
                return Err(forbidden(
                    "host_not_allowed",
                    "this server is not addressed by that `Host`; use its IP address, `localhost`, \
                     or a name it was started with",
                ));
            }
        }
        let same_site = |origin: &HeaderValue| {
            let site: Option<Uri> = origin.to_str().ok().and_then(|text| text.parse().ok());
            site.and_then(|site| site.into_parts().authority)
                .is_some_and(|site| site.as_str().eq_ignore_ascii_case(host.as_str()))
        };
        if !headers.get_all(header::ORIGIN).iter().all(same_site) {
            return Err(forbidden(
                "origin_not_allowed",
                "web pages of other sites may not use this server",
            ));
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // An address cannot be rebound. One that is not this machine's own cannot have been
            // meant for a loopback server all the same.
            Ok(address) => !self.loopback || address.is_loopback(),
            Err(_) => self.names.iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }
}

/// The host and port of a `Host` header; a user name has no place there.
fn authority(value: &HeaderValue) -> Option<Authority> {
    let text = value.to_str().ok().filter(|text| !text.contains('@'))?;
    text.parse().ok()
}

fn forbidden(code: &str, message: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::PermissionError, message).with_code(code)
}
