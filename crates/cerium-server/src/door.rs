//! Who may come in: checks of `Host` and `Origin`, before anything else of a request is read.
//!
//! A server on this machine can be reached by every page that a browser here shows. Such a page
//! names itself in `Origin`; after it has made its own name resolve to this machine (DNS rebinding)
//! the browser takes the two for one site, but then its name stands in `Host`. Programs that are no
//! browsers send no `Origin` and address the server by what it listens on. A Unix socket is reached by no
//! name at all; what stands in `Host` there is what a proxy before it was called.

use crate::cors::Site;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use cerium_protocol::{ErrorBody, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

/// Names by which this server may be addressed, and sites whose pages may use it.
#[derive(Debug)]
pub(crate) struct Door {
    /// Where it can be reached; `None`: at a Unix socket.
    address: Option<IpAddr>,
    names: Vec<String>,
    sites: RwLock<Vec<Site>>,
}

impl Door {
    pub(crate) fn new(listens_on: Option<SocketAddr>, names: &[String], sites: Vec<Site>) -> Self {
        let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.push("localhost".to_owned());
        let address = listens_on.map(|address| address.ip());
        Self { address, names, sites: RwLock::new(sites) }
    }

    /// From now on pages of these sites may use the server.
    pub(crate) fn let_in(&self, sites: Vec<Site>) {
        *self.sites.write().unwrap_or_else(PoisonError::into_inner) = sites;
    }

    /// Lets a request in, or says why not; tells of which other site the page is that makes it, if one does.
    pub(crate) fn check<'a>(
        &self,
        uri: &Uri,
        headers: &'a HeaderMap,
    ) -> Result<Option<&'a HeaderValue>, ErrorBody> {
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
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        let mut others = headers.get_all(header::ORIGIN).iter().filter(|origin| !same_site(origin));
        match (others.next(), others.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if sites.iter().any(|site| site.is(origin)) => Ok(Some(origin)),
            _ => Err(forbidden(
                "origin_not_allowed",
                "web pages of other sites may not use this server",
            )),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let Some(own) = self.address else { return true };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // An address cannot be rebound. One that is not this machine's own cannot have been
            // meant for a loopback server all the same.
            Ok(address) => !own.is_loopback() || address.is_loopback(),
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
